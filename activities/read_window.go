package activities

import (
	"context"
	"errors"
	"io"
	"sync"

	"stevedore/internal/ingest"
)

// Some servers close the connection or stop responding if too many reads of a file are
// outstanding, which looks like a broken connection. After two consecutive transfers that
// fail early, the next ones use half as many outstanding reads.

// earlyReads defines an early failure: fewer answers than earlyReads times the
// outstanding reads.
const earlyReads = 2

// readFailures counts consecutive failed reads in this process, by the uuid of a server
// or a file. The zero value is ready.
type readFailures struct {
	mu   sync.Mutex
	rows map[string]int
}

// failed counts a failure and returns the number of consecutive ones.
func (f *readFailures) failed(uuid string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows == nil {
		f.rows = map[string]int{}
	}
	f.rows[uuid]++
	return f.rows[uuid]
}

// count returns the number of consecutive failures.
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

// bounded limits the outstanding reads of the file, of size bytes, to the server's limit.
// The result of the transfer adapts that limit.
func (a *Activities) bounded(ctx context.Context, server ingest.Server, remote RemoteFile, size int64) RemoteFile {
	f := limited(server, remote, size)
	f.ctx, f.acts, f.done = ctx, a, false
	return f
}

// limited is bounded for a small file, whose result does not adapt the limit.
func limited(server ingest.Server, remote RemoteFile, size int64) *boundedFile {
	f := &boundedFile{RemoteFile: remote, server: server, size: size, done: true}
	if window := server.Reads(); window > 0 {
		f.slots = make(chan struct{}, window)
	}
	return f
}

// boundedFile is a remote file with a limit of outstanding reads. It treats any refusal
// to read at or after the end as EOF: some servers return SSH_FX_FAILURE there.
type boundedFile struct {
	RemoteFile
	ctx    context.Context //nolint:containedctx // of the transfer
	acts   *Activities
	server ingest.Server
	size   int64
	slots  chan struct{} // nil: no limit

	mu sync.Mutex
	// outstanding is the current number of reads, most its maximum.
	outstanding, most, answered int
	// done is set by the first failure and by Close: the limit is not adapted any more.
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

// Close implements io.Closer. Reads that it interrupts do not count as failures.
func (f *boundedFile) Close() error {
	f.mu.Lock()
	if !f.done && f.answered >= f.most {
		f.acts.reads.succeeded(f.server.UUID)
	}
	f.done = true
	f.mu.Unlock()
	return f.RemoteFile.Close()
}

// finish counts the result of a read and adapts the limit after an early failure.
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
		f.acts.Log.WarnContext(f.ctx, "transfers of a server fail early; reducing the outstanding reads",
			"server", f.server.Name, "reads", window, "error", err)
		if learnErr := f.acts.Catalog.LearnReadWindow(f.ctx, f.server.UUID, window); learnErr != nil {
			f.acts.Log.WarnContext(f.ctx, "cannot record the read window of a server", "server", f.server.Name, "error", learnErr)
		}
	}
}
