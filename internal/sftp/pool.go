package sftp

import (
	"context"
	"slices"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// Pool holds connections to servers, each with at most MaxParallel+1: one for
// every file in flight and one to list with. Where a server bears fewer, sessions
// share connections. It is safe for concurrent use.
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
	route, err := routeTo(ctx, p.cfg.Directory, server)
	if err != nil {
		return nil, err
	}
	l, err := p.enter(route)
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
			"server %s: gave up waiting for one of its %d sessions", server.Name, cap(l.slots))
	}
	c, err := p.connection(ctx, l, route)
	if err != nil {
		<-l.slots
		p.leave(server.UUID, l)
		return nil, err
	}
	return &Session{cfg: p.cfg.of(server), server: server, conn: c, giveBack: func() { p.giveBack(server.UUID, l, c) }}, nil
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
func (p *Pool) enter(route []ingest.Server) (*lane, error) {
	settings, server := settingsOf(route), route[0]
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
		l = newLane(settings, server)
		p.lanes[server.UUID] = l
	}
	l.users++
	l.known = server.ConnectionLimit
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
	if l.users == 0 && len(l.idle) == 0 && p.lanes[uuid] == l && !p.cfg.Now().Before(l.learnedUntil) {
		delete(p.lanes, uuid)
	}
}

// connection returns a healthy idle connection, makes one, or lets the session
// share one that is in use.
func (p *Pool) connection(ctx context.Context, l *lane, route []ingest.Server) (*conn, error) {
	if c := p.atHand(ctx, l); c != nil {
		return c, nil
	}
	c, err := p.connect(ctx, l, route)
	if err != nil && ctx.Err() == nil {
		if shared := p.shareInstead(l, err); shared != nil {
			return shared, nil
		}
	}
	return c, err
}

// atHand returns a connection without making one, nil if there is none.
func (p *Pool) atHand(ctx context.Context, l *lane) *conn {
	for c := p.takeIdle(l); c != nil; c = p.takeIdle(l) {
		if c.alive(ctx) {
			return c
		}
		c.kill()
		p.put(l, c)
	}
	return p.share(l)
}

// connect makes a connection when its turn has come. Those that waited for one
// that failed meanwhile fail with it.
func (p *Pool) connect(ctx context.Context, l *lane, route []ingest.Server) (*conn, error) {
	came, server := time.Now(), route[0]
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
	if c := p.atHand(ctx, l); c != nil { // made or given back meanwhile
		return c, nil
	}
	d, err := newDialer(ctx, p.cfg, p.secrets, route)
	if err != nil {
		return nil, err
	}
	c, held, err := p.dial(ctx, l, d)
	if err != nil {
		if ctx.Err() == nil {
			l.failure, l.failedAt = err, time.Now()
		}
		return nil, err
	}
	return c, p.adopt(server.UUID, l, c, held)
}

// dial takes a place among the connections that the server bears and connects. A
// session that can share a connection does not wait for one.
func (p *Pool) dial(ctx context.Context, l *lane, d *dialer) (*conn, place, error) {
	p.mu.Lock()
	wait, most := p.cfg.ConnectionWait, d.server.MaxConnections
	if l.limit(p.cfg.Now()) < cap(l.slots) {
		most = l.limit(p.cfg.Now())
	}
	if len(l.healthy()) > 0 {
		wait = 0
	}
	p.mu.Unlock()
	held, err := takePlace(ctx, p.cfg, d.server, most, wait)
	if err != nil {
		return nil, held, err
	}
	c, err := d.dial(ctx)
	if err != nil {
		held.leave()
		if ctx.Err() == nil {
			err = p.learn(ctx, l, d.server, held.others, err)
		}
	}
	return c, held, err
}

// adopt takes note of a new connection and forgets it when it has ended.
func (p *Pool) adopt(uuid string, l *lane, c *conn, held place) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	l.use(c)
	p.watchers.Go(func() { held.keep(c.ended) })
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
	l.use(c)
	return c
}

// giveBack keeps a healthy connection for the next session.
func (p *Pool) giveBack(uuid string, l *lane, c *conn) {
	p.put(l, c)
	<-l.slots
	p.leave(uuid, l)
}

// put ends one use of a connection. With the last one it becomes idle, or ends if
// it cannot be used again.
func (p *Pool) put(l *lane, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.sharers.Add(-1) > 0 {
		return
	}
	l.busy = slices.DeleteFunc(l.busy, func(other *conn) bool { return other == c })
	if p.closed || l.retired || c.spoiled.Load() || c.tired.Load() {
		c.kill()
		return
	}
	l.idle = append(l.idle, c)
	c.used = time.Now()
	c.expiry = time.AfterFunc(p.idleTimeout(l), func() { p.expire(l, c) })
}

// idleTimeout is short where other processes may wait for the connection.
func (p *Pool) idleTimeout(l *lane) time.Duration {
	if p.cfg.Connections != nil && l.limit(p.cfg.Now()) < cap(l.slots) {
		return min(fewIdle, p.cfg.IdleTimeout)
	}
	return p.cfg.IdleTimeout
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
