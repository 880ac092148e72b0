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

// Session is one caller's use of a connection. Its methods may be called one
// after another by one caller; files opened by it may be read concurrently.
//
// When a context ends or the server is silent for too long the connection is
// closed under the call, which then fails with KindTransient; the session is
// of no use afterwards and another one must be opened.
type Session struct {
	cfg       Config
	server    ingest.Server
	conn      *conn
	release   func()
	closeOnce sync.Once
	// files are those still open.
	files atomic.Int32
	// onAnswer, may be nil, is told of what the server answers.
	onAnswer func()
}

// OnAnswer sets what is called when the server has answered something that
// brings the work forward: names of a folder, a look at a file, any other
// exchange, but not reads of files. It must be set before the session is used
// further and return at once.
func (s *Session) OnAnswer(fn func()) { s.onAnswer = fn }

func (s *Session) notifyAnswer() {
	if s.onAnswer != nil {
		s.onAnswer()
	}
}

// Close gives the connection back, or ends it if anything went wrong with it.
// It never waits for the server and always returns nil.
func (s *Session) Close() error {
	s.closeOnce.Do(func() {
		switch {
		case s.files.Load() == 0:
		case s.conn.shared():
			s.conn.draining.Store(true)
		default:
			s.conn.kill() // the next user must not inherit handles
		}
		s.release()
	})
	return nil
}

// Stat looks at one path without following a symbolic link, unless the server's
// settings allow it. What is there but must not be opened comes back with Rejected
// set. KindNotFound: nothing there.
func (s *Session) Stat(ctx context.Context, path string) (ingest.Observation, error) {
	path, err := s.expandHome(ctx, path)
	if err != nil {
		return ingest.Observation{}, err
	}
	seen, _, err := s.observePath(ctx, path)
	return seen, err
}

// patience is how long one exchange may bring nothing.
func (s *Session) replyTimeout() time.Duration {
	return cmp.Or(time.Duration(s.server.AnswerTimeout), s.cfg.NoProgress)
}

// Remove deletes a regular file, and nothing else. KindNotFound: it is gone.
func (s *Session) Remove(ctx context.Context, path string) error {
	// The client would try to remove a folder of the name, too.
	if err := s.mustBeRegular(ctx, path); err != nil {
		return err
	}
	err := s.do(ctx, s.replyTimeout(), func() error { return s.conn.client.Remove(path) })
	return s.explain(err, "remove", path)
}

// Rename moves a regular file. It uses the rename of SFTP version 3, which must not
// replace what is at the target. KindNotFound: the file is gone; KindMissing:
// the target's folder does not exist.
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
		return ingest.Wrap(ingest.KindMissing, err, "server %s: cannot move %s to %s: create the target folder there",
			s.server.Name, ingest.DisplayPath(from), ingest.DisplayPath(to))
	}
	if isReplyError(err) && !isNotExist(err) && !isPermission(err) {
		return ingest.Wrap(ingest.KindTransient, err, "server %s failed to move %s to %s%s",
			s.server.Name, ingest.DisplayPath(from), ingest.DisplayPath(to), serverMessage(err))
	}
	return s.explain(err, "move", from)
}

// noFolder reports whether there is surely no such folder. Servers say "failure" to
// much.
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

// do runs one exchange with the server. The end of ctx, or of patience, closes
// the SSH connection, which makes op return. The error is op's own unless one
// of these was the reason.
func (s *Session) do(ctx context.Context, timeout time.Duration, op func() error) error {
	g := s.guard(ctx, timeout)
	err := g.end(op())
	s.notifyAnswer()
	return err
}

// guard kills the connection when ctx ends or nothing has moved for patience.
type guard struct {
	session  *Session
	ctx      context.Context
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

// abandon ends what is guarded, because its context has ended. A connection that
// others share is given a moment to answer first.
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

// moved says that something came from the server that brings the work forward.
func (g *guard) progress() { g.timer.Reset(g.timeout) }

// end stops guarding and says what the outcome really is.
func (g *guard) end(err error) error {
	g.timer.Stop()
	g.ended.Store(true)
	if !g.release() && !g.session.conn.shared() {
		// The kill is under way already; done here it cannot come so late that
		// it hits the connection's next user.
		g.session.conn.kill()
	}
	return g.cause(err)
}

// cause replaces an error that this guard has brought about by its reason.
func (g *guard) cause(err error) error {
	s := g.session
	shared := s.conn.shared()
	switch {
	case shared && g.ctx.Err() != nil && !s.conn.failed.Load():
		s.conn.draining.Store(true) // a handle may be left open
		return ingest.Wrap(ingest.KindTransient, context.Cause(g.ctx), "server %s: the work was ended", s.server.Name)
	case err == nil, isReplyError(err):
		return err
	}
	// What the connection's state is after anything else nobody knows.
	s.conn.kill()
	switch {
	case g.ctx.Err() != nil:
		return ingest.Wrap(ingest.KindTransient, context.Cause(g.ctx), "server %s: the work was ended", s.server.Name)
	case g.timedOut.Load():
		return ingest.Wrap(ingest.KindTransient, withoutEOF(err), "server %s brought nothing for %s, the connection was closed; if it is slow, raise --answer-timeout", s.server.Name, g.timeout)
	default:
		return err
	}
}

// explain turns an error of the SFTP client into one for people.
func (s *Session) explain(err error, verb, path string) error {
	var known *ingest.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case isNotExist(err):
		return ingest.Wrap(ingest.KindNotFound, err, "server %s has no %s", s.server.Name, ingest.DisplayPath(path))
	case isPermission(err):
		return ingest.Wrap(ingest.KindPermission, err, "server %s does not let user %s %s %s: ask the partner for the permission",
			s.server.Name, s.server.Username, verb, ingest.DisplayPath(path))
	case isReplyError(err):
		return ingest.Wrap(ingest.KindTransient, err, "server %s failed to %s %s%s", s.server.Name, verb, ingest.DisplayPath(path), serverMessage(err))
	default:
		return ingest.Wrap(ingest.KindTransient, withoutEOF(err), "lost the connection to server %s while trying to %s %s", s.server.Name, verb, ingest.DisplayPath(path))
	}
}

// notEOF keeps a lost connection from passing for the end of a file: a write to
// a closed SSH channel fails with io.EOF.
func withoutEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New(err.Error())
	}
	return err
}
