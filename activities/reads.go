package activities

import (
	"context"
	"errors"
	"io"
	"sync"

	"stevedore/internal/ingest"
)

// Some servers end the connection, or answer no more, when more than so many reads
// of a file are outstanding. That looks like a broken line. So a transfer that
// fails before it has well begun, twice in a row, is tried with half as many.

// earlyReads is how many times the outstanding reads must have been answered for a
// failure to be no sign of their number.
const earlyReads = 2

// readFailures counts, by the uuid of a server or a file, reads in a row that failed
// in this process. The zero value is ready.
type readFailures struct {
	mu   sync.Mutex
	rows map[string]int
}

// failed counts one more and returns how many these are.
func (f *readFailures) failed(uuid string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows == nil {
		f.rows = map[string]int{}
	}
	f.rows[uuid]++
	return f.rows[uuid]
}

// soFar returns how many have failed.
func (f *readFailures) count(uuid string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[uuid]
}

func (f *readFailures) succeeded(uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rows, uuid)
}

// bounded returns the file, of size bytes, with at most as many reads outstanding as
// the server bears. How it goes teaches how many these are.
func (a *Activities) bounded(ctx context.Context, server ingest.Server, remote RemoteFile, size int64) RemoteFile {
	f := limited(server, remote, size)
	f.ctx, f.acts, f.done = ctx, a, false
	return f
}

// limited is bounded for a file that is too small to teach anything.
func limited(server ingest.Server, remote RemoteFile, size int64) *boundedFile {
	f := &boundedFile{RemoteFile: remote, server: server, size: size, done: true}
	if window := server.Reads(); window > 0 {
		f.slots = make(chan struct{}, window)
	}
	return f
}

// boundedFile is a remote file with a bound on outstanding reads. Behind its size
// whatever the server answers that is no byte is the end: some say "failure".
type boundedFile struct {
	RemoteFile
	ctx    context.Context //nolint:containedctx // that of the file's use
	acts   *Activities
	server ingest.Server
	size   int64
	slots  chan struct{} // nil has no bound

	mu sync.Mutex
	// outstanding reads now and at most, and how many were answered.
	outstanding, most, answered int
	// over is set by the first failure and by Close: nothing more is learned.
	done bool
}

// ReadAt implements io.ReaderAt.
func (f *boundedFile) ReadAt(p []byte, off int64) (int, error) {
	if f.slots != nil {
		f.slots <- struct{}{}
		defer func() { <-f.slots }()
	}
	f.mu.Lock()
	f.outstanding++
	f.most = max(f.most, f.outstanding)
	f.mu.Unlock()
	n, err := f.RemoteFile.ReadAt(p, off)
	if n == 0 && off >= f.size && errors.Is(err, ingest.ErrRefused) {
		err = io.EOF
	}
	f.finish(err)
	return n, afterOpen(err)
}

// Close implements io.Closer. Reads that it ends have not failed.
func (f *boundedFile) Close() error {
	f.mu.Lock()
	if !f.done && f.answered >= f.most {
		f.acts.reads.succeeded(f.server.UUID)
	}
	f.done = true
	f.mu.Unlock()
	return f.RemoteFile.Close()
}

// took counts a read whose answer came, or did not.
func (f *boundedFile) finish(err error) {
	f.mu.Lock()
	f.outstanding--
	if err == nil || errors.Is(err, io.EOF) {
		f.answered++
		f.mu.Unlock()
		return
	}
	first, most, early := !f.done, f.most, f.answered < earlyReads*f.most
	f.done = true
	f.mu.Unlock()
	switch {
	case !first || f.ctx.Err() != nil || ingest.KindOf(err).Permanent():
	case !early:
		f.acts.reads.succeeded(f.server.UUID)
	case most > 1 && f.server.MaxReads == 0 && f.acts.reads.failed(f.server.UUID) > 1:
		window := most / 2
		f.acts.Log.WarnContext(f.ctx, "transfers of a server fail as they begin; fewer reads are outstanding from now on",
			"server", f.server.Name, "reads", window, "error", err)
		if learnErr := f.acts.Catalog.LearnReadWindow(f.ctx, f.server.UUID, window); learnErr != nil {
			f.acts.Log.WarnContext(f.ctx, "cannot record how many reads a server bears", "server", f.server.Name, "error", learnErr)
		}
	}
}
