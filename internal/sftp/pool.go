package sftp

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// Pool holds connections to servers, each with at most MaxParallel+1: one for
// every file in flight and one to list with. It is safe for concurrent use.
type Pool struct {
	cfg     Config
	secrets Secrets

	closing   chan struct{}
	closeOnce sync.Once
	watchers  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	lanes  map[string]*lane // by server uuid
	conns  map[*conn]struct{}
}

// lane is one server, as long as its settings stay the same.
type lane struct {
	settings [sha256.Size]byte
	// slots bounds the connections in use.
	slots chan struct{}
	// turn is held by who connects, one at a time: a password that is no longer
	// right must not be refused to all the files in flight at once.
	turn chan struct{}
	// failure is how the last connecting failed, and when; the turn guards them.
	failure  error
	failedAt time.Time

	// The pool's lock guards these.
	idle    []*conn // the last was used last
	users   int     // sessions open or being opened
	retired bool    // the settings have changed: no connection is kept
}

// NewPool returns a pool without connections. It must be closed.
func NewPool(cfg Config, secrets Secrets) *Pool {
	return &Pool{
		cfg: cfg.withDefaults(), secrets: secrets,
		closing: make(chan struct{}),
		lanes:   make(map[string]*lane), conns: make(map[*conn]struct{}),
	}
}

// Open returns a session of the caller's own, on an idle connection if there
// is a healthy one. It waits for other sessions when the server has all it may
// have. The session must be closed. Errors:
//
//   - KindHostKey: the presented key is not pinned; nothing was sent
//   - KindAuth: the server refused the credentials
//   - KindForbiddenAddress: its address is in a network that is not allowed
//   - KindServer: it gives no SFTP to the user or offers no secure algorithms,
//     or its stored credentials are damaged
//   - KindTransient: it could not be reached, or ctx ended
//
// All that are permanent are ServerLevel: they are not about one file.
//
// There are no retries here: how soon to knock again is the caller's choice.
func (p *Pool) Open(ctx context.Context, server ingest.Server) (*Session, error) {
	l, err := p.enter(server)
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	case <-p.closing:
		p.leave(server.UUID, l)
		return nil, errPoolClosed()
	case <-ctx.Done():
		p.leave(server.UUID, l)
		return nil, ingest.Wrap(ingest.KindTransient, context.Cause(ctx),
			"server %s: gave up waiting for one of its %d connections", server.Name, cap(l.slots))
	}
	c, err := p.connection(ctx, l, server)
	if err != nil {
		<-l.slots
		p.leave(server.UUID, l)
		return nil, err
	}
	return &Session{cfg: p.cfg, server: server, conn: c, giveBack: func() { p.giveBack(server.UUID, l, c) }}, nil
}

// Close ends all connections, also those in use, and waits until they are gone.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() { close(p.closing) })
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.kill()
	}
	p.mu.Unlock()
	p.watchers.Wait()
	return nil
}

func errPoolClosed() error {
	return ingest.Errorf(ingest.KindTransient, "the connections to SFTP servers are being closed")
}

// enter returns the server's lane. Changed settings open another one; what the
// old one has is not used again.
func (p *Pool) enter(server ingest.Server) (*lane, error) {
	settings := settingsOf(server)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed()
	}
	l := p.lanes[server.UUID]
	if l == nil || l.settings != settings {
		if l != nil {
			l.retire()
		}
		l = &lane{settings: settings, slots: make(chan struct{}, max(server.MaxParallel, 1)+1), turn: make(chan struct{}, 1)}
		p.lanes[server.UUID] = l
	}
	l.users++
	return l, nil
}

// leave forgets a lane that nobody needs: servers come and go.
func (p *Pool) leave(uuid string, l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.users--
	p.forget(uuid, l)
}

func (p *Pool) forget(uuid string, l *lane) {
	if l.users == 0 && len(l.idle) == 0 && p.lanes[uuid] == l {
		delete(p.lanes, uuid)
	}
}

// connection returns a healthy idle connection or makes one.
func (p *Pool) connection(ctx context.Context, l *lane, server ingest.Server) (*conn, error) {
	for c := p.takeIdle(l); c != nil; c = p.takeIdle(l) {
		if c.alive(ctx) {
			return c, nil
		}
		c.kill()
	}
	c, err := p.connect(ctx, l, server)
	if err != nil {
		return nil, err
	}
	return c, p.adopt(server.UUID, l, c)
}

// connect makes a connection when its turn has come. Those that waited for one
// that failed meanwhile fail with it.
func (p *Pool) connect(ctx context.Context, l *lane, server ingest.Server) (*conn, error) {
	came := time.Now()
	select {
	case l.turn <- struct{}{}:
	case <-p.closing:
		return nil, errPoolClosed()
	case <-ctx.Done():
		return nil, ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: gave up waiting for its turn to connect", server.Name)
	}
	defer func() { <-l.turn }()
	if l.failure != nil && l.failedAt.After(came) {
		return nil, l.failure
	}
	d, err := newDialer(ctx, p.cfg, p.secrets, server)
	if err != nil {
		return nil, err
	}
	c, err := d.dial(ctx)
	if err != nil && ctx.Err() == nil {
		l.failure, l.failedAt = err, time.Now()
	}
	return c, err
}

// adopt takes note of a new connection and forgets it when it has ended.
func (p *Pool) adopt(uuid string, l *lane, c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	p.watchers.Go(func() {
		c.watchers.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		l.drop(c)
		p.forget(uuid, l)
	})
	if p.closed {
		c.kill()
		return errPoolClosed()
	}
	return nil
}

func (p *Pool) takeIdle(l *lane) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(l.idle) == 0 {
		return nil
	}
	c := l.idle[len(l.idle)-1]
	l.drop(c)
	return c
}

// giveBack keeps a healthy connection for the next session.
func (p *Pool) giveBack(uuid string, l *lane, c *conn) {
	p.mu.Lock()
	if p.closed || l.retired || c.spoiled.Load() {
		c.kill()
	} else {
		l.idle = append(l.idle, c)
		c.used = time.Now()
		c.expiry = time.AfterFunc(p.cfg.IdleTimeout, func() { p.expire(l, c) })
	}
	p.mu.Unlock()
	<-l.slots
	p.leave(uuid, l)
}

// expire ends a connection that is still idle.
func (p *Pool) expire(l *lane, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(l.idle, c) {
		l.drop(c)
		c.kill()
	}
}

// drop takes a connection from the idle ones, if it is there.
func (l *lane) drop(c *conn) {
	if i := slices.Index(l.idle, c); i >= 0 {
		l.idle = slices.Delete(l.idle, i, i+1)
		c.expiry.Stop()
	}
}

func (l *lane) retire() {
	l.retired = true
	for _, c := range slices.Clone(l.idle) {
		l.drop(c)
		c.kill()
	}
}

// settingsOf digests what a connection is made from. Root folder and globs are
// not in it: they matter to a listing only.
func settingsOf(server ingest.Server) [sha256.Size]byte {
	// Marshalling strings, numbers and bytes cannot fail.
	text, _ := json.Marshal([]any{
		server.Host, server.Port, server.Username, server.HostKeys, server.MaxParallel,
		server.PasswordEncrypted, server.PrivateKeyEncrypted,
	})
	return sha256.Sum256(text)
}
