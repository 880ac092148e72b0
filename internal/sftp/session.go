package sftp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"stevedore/internal/ingest"
)

// Session is one caller's use of a connection. Its methods must not be called
// concurrently; files opened by it may be read concurrently.
//
// If a context ends or the server does not reply in time, the connection is closed and
// the call fails with KindTransient. The session is then unusable; open another one.
type Session struct {
	cfg       Config
	server    ingest.Server
	conn      *conn
	release   func()
	closeOnce sync.Once
	// files is the number of open files.
	files atomic.Int32
	// onAnswer is called after each reply; may be nil.
	onAnswer func()
}

// OnReply sets a function that is called after each reply of the server except to reads
// of files. It must be set before the session's next request, and fn must not block.
func (s *Session) OnReply(fn func()) { s.onAnswer = fn }

func (s *Session) notifyAnswer() {
	if s.onAnswer != nil {
		s.onAnswer()
	}
}

// Close returns the connection to the pool, or closes it after a failure. It never waits
// for the server and always returns nil.
func (s *Session) Close() error {
	s.closeOnce.Do(func() {
		switch {
		case s.files.Load() == 0:
		case s.conn.shared():
			s.conn.draining.Store(true)
		default:
			s.conn.kill() // the next session must not inherit open handles
		}
		s.release()
	})
	return nil
}

// Stat returns the observation of a path. It follows a symbolic link only if the
// server's settings allow it. Rejected is set if the path must not be opened. The error
// is of KindNotFound if the path does not exist.
func (s *Session) Stat(ctx context.Context, path string) (ingest.Observation, error) {
	path, err := s.expandHome(ctx, path)
	if err != nil {
		return ingest.Observation{}, err
	}
	seen, _, err := s.observePath(ctx, path)
	return seen, err
}

// replyTimeout returns the time that a request may wait for its reply.
func (s *Session) replyTimeout() time.Duration {
	return cmp.Or(time.Duration(s.server.AnswerTimeout), s.cfg.AnswerTimeout)
}

// Remove deletes a regular file. The error is of KindNotFound if it does not exist, and
// of KindChanged if it is not a regular file.
func (s *Session) Remove(ctx context.Context, path string) error {
	// The client would also remove a folder.
	if err := s.mustBeRegular(ctx, path); err != nil {
		return err
	}
	err := s.do(ctx, s.replyTimeout(), func() error { return s.conn.client.Remove(path) })
	return s.explain(err, "remove", path)
}

// Rename moves a regular file. It uses the rename of SFTP version 3, which must not
// replace an existing target. The error is of KindNotFound if the file does not exist,
// and of KindMissing if the target's folder does not exist.
func (s *Session) Rename(ctx context.Context, from, to string) error {
	if err := s.mustBeRegular(ctx, from); err != nil {
		return err
	}
	to, err := s.expandHome(ctx, to)
	if err != nil {
		return err
	}
	err = s.do(ctx, s.replyTimeout(), func() error { return s.conn.client.Rename(from, to) })
	if isNotExist(err) || isReplyError(err) && !isPermission(err) && s.folderMissing(ctx, path.Dir(to)) {
		return ingest.Wrap(ingest.KindMissing, err, "server %s: cannot move %s to %s: create the target folder on the server",
			s.server.Name, ingest.DisplayPath(from), ingest.DisplayPath(to))
	}
	if isReplyError(err) && !isNotExist(err) && !isPermission(err) {
		return ingest.Wrap(ingest.KindTransient, err, "server %s failed to move %s to %s%s",
			s.server.Name, ingest.DisplayPath(from), ingest.DisplayPath(to), serverMessage(err))
	}
	return s.explain(err, "move", from)
}

// folderMissing reports whether the folder certainly does not exist, because servers
// reply "failure" for several reasons.
func (s *Session) folderMissing(ctx context.Context, path string) bool {
	_, err := s.lstat(ctx, path)
	return isNotExist(err)
}

func (s *Session) mustBeRegular(ctx context.Context, path string) error {
	seen, err := s.Stat(ctx, path)
	if err == nil && seen.Rejected != "" {
		err = s.notRegular(path, seen.Rejected)
	}
	return err
}

func (s *Session) notRegular(path, reason string) error {
	return ingest.Errorf(ingest.KindChanged, "server %s: %s is not a regular file: %s", s.server.Name, ingest.DisplayPath(path), reason)
}

// do runs op, one request to the server. The end of ctx or of the timeout closes the SSH
// connection, which makes op return, and determines the error.
func (s *Session) do(ctx context.Context, timeout time.Duration, op func() error) error {
	g := s.guard(ctx, timeout)
	err := g.end(op())
	s.notifyAnswer()
	return err
}

// guard kills the connection when ctx ends or there is no progress for timeout.
type guard struct {
	session  *Session
	ctx      context.Context //nolint:containedctx // of the one operation that is guarded
	timeout  time.Duration
	timer    *time.Timer
	timedOut atomic.Bool
	ended    atomic.Bool
	release  func() bool
}

func (s *Session) guard(ctx context.Context, timeout time.Duration) *guard {
	g := &guard{session: s, ctx: ctx, timeout: timeout}
	g.timer = time.AfterFunc(timeout, func() {
		g.timedOut.Store(true)
		s.conn.kill()
	})
	g.release = context.AfterFunc(ctx, g.cancel)
	return g
}

// cancel kills the connection after the end of ctx. On a shared connection it first
// waits for the reply.
func (g *guard) cancel() {
	if !g.session.conn.shared() {
		g.session.conn.kill()
		return
	}
	time.AfterFunc(maxPing, func() {
		if !g.ended.Load() {
			g.session.conn.kill()
		}
	})
}

// progress restarts the timeout.
func (g *guard) progress() { g.timer.Reset(g.timeout) }

// end stops the guard and returns the error with its cause.
func (g *guard) end(err error) error {
	g.timer.Stop()
	g.ended.Store(true)
	if !g.release() && !g.session.conn.shared() {
		// cancel runs concurrently; without this call it could hit the connection's next
		// session.
		g.session.conn.kill()
	}
	return g.cause(err)
}

// cause replaces an error that this guard has caused by the reason.
func (g *guard) cause(err error) error {
	s := g.session
	shared := s.conn.shared()
	switch {
	case shared && g.ctx.Err() != nil && !s.conn.failed.Load():
		s.conn.draining.Store(true) // a handle may be left open
		return ingest.Wrap(ingest.KindTransient, context.Cause(g.ctx), "server %s: the operation was canceled", s.server.Name)
	case err == nil, isReplyError(err):
		return err
	}
	// The state of the connection is unknown.
	s.conn.kill()
	switch {
	case g.ctx.Err() != nil:
		return ingest.Wrap(ingest.KindTransient, context.Cause(g.ctx), "server %s: the operation was canceled", s.server.Name)
	case g.timedOut.Load():
		return ingest.Wrap(ingest.KindTransient, withoutEOF(err), "server %s sent no data for %s, the connection was closed; if the server is slow, raise --answer-timeout", s.server.Name, g.timeout)
	default:
		return err
	}
}

// explain turns an error of the SFTP client into an ingest.Error with advice.
func (s *Session) explain(err error, verb, path string) error {
	var known *ingest.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case isNotExist(err):
		return ingest.Wrap(ingest.KindNotFound, err, "server %s has no %s", s.server.Name, ingest.DisplayPath(path))
	case isPermission(err):
		return ingest.Wrap(ingest.KindPermission, err, "server %s does not let user %q %s %s: ask the partner for the permission",
			s.server.Name, s.server.Username, verb, ingest.DisplayPath(path))
	case isReplyError(err):
		return ingest.Wrap(ingest.KindTransient, err, "server %s failed to %s %s%s", s.server.Name, verb, ingest.DisplayPath(path), replyCause(err))
	default:
		return ingest.Wrap(ingest.KindTransient, withoutEOF(err), "lost the connection to server %s while trying to %s %s%s",
			s.server.Name, verb, ingest.DisplayPath(path), s.conn.wire.lossCause())
	}
}

// withoutEOF removes io.EOF from the chain, because a write to a closed SSH channel fails
// with io.EOF, which a reader would take for the end of the file.
func withoutEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New(err.Error())
	}
	return err
}
