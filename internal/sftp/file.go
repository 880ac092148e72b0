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

// File is an open regular file on a server. ReadAt may be called concurrently.
type File struct {
	session *Session
	remote  *sftp.File
	guard   *guard
	// release releases the file's handle, see conn.acquireHandle.
	release func()
	// openAttrs are the FSTAT attributes at open; nil if the server reported none.
	openAttrs *attrs

	mu sync.Mutex
	// activeReads is the number of active ReadAt calls.
	activeReads int
	closed      bool
}

// OpenFile opens a regular file for reading. ctx governs the file until Close: when it
// ends, the connection is closed and all reads fail. The error is of KindNotFound if
// the file does not exist, and of KindChanged if it is not a regular file.
func (s *Session) OpenFile(ctx context.Context, path string) (*File, error) {
	// The type is checked before the file is opened, because opening a FIFO blocks
	// until it has a writer, and afterwards, because the path may change in between.
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
	f.guard.timer.Stop() // no read is active
	if reason != "" {
		_ = f.Close()
		return nil, s.notRegular(path, reason)
	}
	return f, nil
}

// fstat returns the attributes of an open file, and the reason if it is not a regular
// file, else "". It returns nil if the server does not support FSTAT; the path was
// checked before.
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
		return nil, "", errors.New("the SFTP client returned no attributes")
	}
	opened := &attrs{Size: stat.Size, Mode: stat.Mode, Mtime: stat.Mtime, flags: attrMode}
	kind := opened.kind()
	if kind == kindRegular || kind == kindUnreported {
		return opened, "", nil
	}
	return opened, kind.reason(), nil
}

// Opened returns the FSTAT result at open. ok is false if the server reported no
// attributes or the size 0: the SFTP client does not distinguish an empty file from a
// missing size.
func (f *File) Opened() (seen ingest.Observation, ok bool) {
	if f.openAttrs == nil || f.openAttrs.Size == 0 {
		return seen, false
	}
	return observe(f.remote.Name(), *f.openAttrs), true
}

// Restat returns the current FSTAT result of the open file, because the path may be
// another file now. ok is false if the server reports none.
func (f *File) Restat(ctx context.Context) (seen ingest.Observation, ok bool, err error) {
	var now *attrs
	err = f.session.do(ctx, f.session.replyTimeout(), func() (err error) {
		now, _, err = f.session.fstat(f.remote)
		return err
	})
	if err != nil || now == nil {
		return seen, false, f.session.explain(err, "stat", f.remote.Name())
	}
	return observe(f.remote.Name(), *now), true, nil
}

// ReadAt implements io.ReaderAt. The error is io.EOF at the end of the file; an error
// that the server replied with wraps ingest.ErrRefused. Reads should be at most 32 KiB,
// the size that every server supports; larger ones are split and run sequentially. If
// no active read gets a byte for the server's AnswerTimeout (default Config.AnswerTimeout),
// all of them fail with KindTransient and the session is unusable.
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

// explainRead turns an error of a read at the offset into an ingest.Error. Because the
// open succeeded, a refusal may be caused by a lock or a quota and be transient.
func (f *File) explainRead(err error, off int64) error {
	s, name := f.session, f.remote.Name()
	if !isReplyError(err) {
		return s.explain(err, "read", name)
	}
	cause := fmt.Errorf("%w: %w", ingest.ErrRefused, err)
	if isPermission(err) {
		return ingest.Wrap(ingest.KindPermission, cause, "server %s let user %q open %s but refused to read at byte %d%s; ask the partner whether the file is locked or a quota is exhausted",
			s.server.Name, s.server.Username, ingest.DisplayPath(name), off, serverMessage(err))
	}
	var explained *ingest.Error
	if errors.As(s.explain(err, "read", name), &explained) {
		explained.Err = cause
	}
	return explained
}

// beginRead counts a read and reports whether the file is open. The first active read
// starts the guard's timer.
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

// endRead ends a read of n bytes. Without active reads the timer stops, because a slow
// caller is not the server's fault.
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

// Close closes the file. With active reads it closes the connection, too, and they
// fail, because the server may never reply to them.
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
