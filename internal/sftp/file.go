package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/pkg/sftp"

	"stevedore/internal/ingest"
)

// File is an open regular file of a server. ReadAt may be called concurrently.
type File struct {
	session *Session
	remote  *sftp.File
	guard   *guard
	// release gives back the place among the files that the server lets be open.
	release func()
	// opened is what the server said of the open file; nil when it did not.
	openAttrs *attrs

	mu sync.Mutex
	// reading is how many ReadAt are under way.
	activeReads int
	closed      bool
}

// OpenFile opens a regular file for reading. ctx governs the file until it is
// closed: its end closes the connection under all reads. KindNotFound: it is
// gone; KindChanged: there is something else than a regular file.
func (s *Session) OpenFile(ctx context.Context, path string) (*File, error) {
	// Before it is opened, because opening a FIFO waits for its writer for
	// ever; and afterwards, because only then it cannot change any more.
	if err := s.mustBeRegular(ctx, path); err != nil {
		return nil, err
	}
	f := &File{session: s, release: s.conn.acquireHandle(ctx, s.replyTimeout())}
	var reason string
	err := s.do(ctx, s.replyTimeout(), func() (err error) {
		if f.remote, err = s.conn.client.Open(path); err != nil {
			return err
		}
		f.openAttrs, reason, err = s.fstat(f.remote)
		return err
	})
	if err != nil {
		f.release()
		return nil, s.explain(err, "open", path)
	}
	f.guard = s.guard(ctx, s.replyTimeout())
	s.files.Add(1)
	f.guard.timer.Stop() // nothing is being read yet
	if reason != "" {
		_ = f.Close()
		return nil, s.notRegular(path, reason)
	}
	return f, nil
}

// irregular says why an open file is not a regular one, empty if it is, and what the
// server tells of it. A server that cannot say what is open has said before what is
// at the path.
func (s *Session) fstat(remote *sftp.File) (*attrs, string, error) {
	if s.conn.behavior.lacks(packetFstat) {
		return nil, "", nil
	}
	info, err := remote.Stat()
	if err != nil && isReplyError(err) {
		s.conn.behavior.markMissing(packetFstat)
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	stat, ok := info.Sys().(*sftp.FileStat)
	if !ok {
		return nil, "", errors.New("the SFTP client gave no attributes")
	}
	opened := &attrs{Size: stat.Size, Mode: stat.Mode, Mtime: stat.Mtime, flags: attrMode}
	kind := opened.kind()
	if kind == kindRegular || kind == kindUnreported {
		return opened, "", nil
	}
	return opened, kind.reason(), nil
}

// Opened returns what the server said of the open file itself when it was opened;
// ok is false when it did not, or gave no size: a server that leaves it out is not
// told from one that has nothing in the file, which shows when it is read.
func (f *File) Opened() (seen ingest.Observation, ok bool) {
	if f.openAttrs == nil || f.openAttrs.Size == 0 {
		return seen, false
	}
	return observe(f.remote.Name(), *f.openAttrs), true
}

// Told asks the server once more what is open, see Opened: the path may show another
// file by now. ok is false when it does not say.
func (f *File) Told(ctx context.Context) (seen ingest.Observation, ok bool, err error) {
	var now *attrs
	err = f.session.do(ctx, f.session.replyTimeout(), func() (err error) {
		now, _, err = f.session.fstat(f.remote)
		return err
	})
	if err != nil || now == nil {
		return seen, false, f.session.explain(err, "look at", f.remote.Name())
	}
	return observe(f.remote.Name(), *now), true, nil
}

// ReadAt implements io.ReaderAt: all of p, or less with an error, which is
// io.EOF at the file's end; ingest.ErrRefused is in the chain of what the server
// answered otherwise. Ask for at most 32 KiB, the most that every server
// gives at once; larger reads are cut and run one after another. If none of
// the reads under way brings a byte for the server's AnswerTimeout or Config.NoProgress, all of them fail
// with KindTransient and the session has ended.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if !f.beginRead() {
		return 0, os.ErrClosed
	}
	n, err := f.session.conn.readAt(f.remote, p, off)
	f.endRead(n)
	if err != nil && err != io.EOF { //nolint:errorlint // a bare EOF ends a file, a wrapped one is a lost connection
		err = f.explainRead(f.guard.cause(err), off+int64(max(n, 0)))
	}
	return n, err
}

// explainRead turns an error of a read at the offset into one for people. Who may
// open a file is meant to read it: a refusal may be of a lock or a quota, and pass.
func (f *File) explainRead(err error, off int64) error {
	s, name := f.session, f.remote.Name()
	if !isReplyError(err) {
		return s.explain(err, "read", name)
	}
	cause := fmt.Errorf("%w: %w", ingest.ErrRefused, err)
	if isPermission(err) {
		return ingest.Wrap(ingest.KindPermission, cause, "server %s let user %s open %s but refused to read at byte %d%s: ask the partner whether it is locked or a quota is used up",
			s.server.Name, s.server.Username, ingest.DisplayPath(name), off, serverMessage(err))
	}
	var explained *ingest.Error
	if errors.As(s.explain(err, "read", name), &explained) {
		explained.Err = cause
	}
	return explained
}

// begin counts a read in, if the file is open. The first one starts the clock.
func (f *File) beginRead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if f.activeReads++; f.activeReads == 1 {
		f.guard.progress()
	}
	return true
}

// end counts a read out. With none left the clock stops: a reader that takes
// its time is not the server's fault.
func (f *File) endRead(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.activeReads--
	switch {
	case f.activeReads == 0:
		f.guard.timer.Stop()
	case n > 0 && !f.closed:
		f.guard.progress()
	}
}

// Close closes the file. Reads under way end with an error, because the
// connection is closed as well then: the server's answer to them may never
// come.
func (f *File) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	reading := f.activeReads
	f.mu.Unlock()
	defer f.session.files.Add(-1)
	defer f.release()
	if reading > 0 || f.session.conn.failed.Load() {
		f.session.conn.kill()
		_ = f.guard.end(nil)
		return nil
	}
	defer func() { _ = f.guard.end(nil) }()
	err := f.session.do(f.guard.ctx, f.session.replyTimeout(), f.remote.Close)
	return f.session.explain(err, "close", f.remote.Name())
}
