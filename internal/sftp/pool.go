package sftp

import (
	"context"
	"slices"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// Pool holds the connections to servers. A server has at most MaxParallel+1 sessions: one
// for each file in flight and one for listings. If the server accepts fewer connections,
// sessions share them. It is safe for concurrent use. A general pool such as puddle does not
// share resources and has a fixed size, see decision 51.
type Pool struct {
	cfg     Config
	secrets Secrets

	closing   chan struct{}
	closeOnce sync.Once
	watchers  sync.WaitGroup

	leases *leases

	mu      sync.Mutex
	closed  bool
	servers map[string]*serverPool // by server uuid
	conns   map[*conn]struct{}
}

// NewPool returns an empty pool. The caller must close it.
func NewPool(cfg Config, secrets Secrets) *Pool {
	cfg = cfg.withDefaults()
	p := &Pool{
		cfg: cfg, secrets: secrets,
		closing: make(chan struct{}), leases: &leases{cfg: cfg, held: make(map[*lease]struct{})},
		servers: make(map[string]*serverPool), conns: make(map[*conn]struct{}),
	}
	p.leases.onLimit = p.limitRecorded
	if cfg.Connections != nil {
		p.watchers.Go(func() { p.leases.renewUntil(p.closing) })
	}
	return p
}

// Open returns a session on an idle connection if there is a healthy one, else on a new
// or shared one. It waits while all sessions of the server are in use. The caller must
// close the session. Errors:
//
//   - KindHostKey: the presented key is not pinned; nothing was sent
//   - KindAuth: the server refused the credentials
//   - KindForbiddenAddress: the server's address is in a network that is not allowed
//   - KindServer: the server provides no SFTP or no secure algorithms, or its stored
//     credentials are damaged
//   - KindTransient: the server is not reachable, or ctx ended
//
// All permanent errors are ServerLevel: they affect all files of the server.
//
// Open does not retry; the caller decides when to.
func (p *Pool) Open(ctx context.Context, server ingest.Server) (*Session, error) {
	route, err := routeTo(ctx, p.cfg.Directory, server)
	if err != nil {
		return nil, err
	}
	sp, err := p.acquireServer(route)
	if err != nil {
		return nil, err
	}
	select {
	case sp.sessions <- struct{}{}:
	case <-p.closing:
		p.releaseServer(server.UUID, sp)
		return nil, errPoolClosed()
	case <-ctx.Done():
		p.releaseServer(server.UUID, sp)
		return nil, ingest.Wrap(ingest.KindTransient, context.Cause(ctx),
			"server %s: gave up waiting for one of its %d sessions", server.Name, cap(sp.sessions))
	}
	c, err := p.connection(ctx, sp, route)
	if err != nil {
		<-sp.sessions
		p.releaseServer(server.UUID, sp)
		return nil, err
	}
	return &Session{cfg: p.cfg.forServer(server), server: server, conn: c, release: func() { p.release(server.UUID, sp, c) }}, nil
}

// Close closes all connections, including those in use, and waits until they have ended.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() { close(p.closing) })
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		if c.sessions.Load() == 0 {
			c.finish()
		} else {
			c.kill()
		}
	}
	p.mu.Unlock()
	p.watchers.Wait()
	return nil
}

func errPoolClosed() error {
	return ingest.Errorf(ingest.KindTransient, "the connections to SFTP servers are being closed")
}

// acquireServer returns the server's pool and counts a user. Changed settings create
// another one; the connections of the old one are not reused.
func (p *Pool) acquireServer(route []ingest.Server) (*serverPool, error) {
	settings, server := settingsDigest(route), route[0]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed()
	}
	sp := p.servers[server.UUID]
	if sp == nil || sp.settings != settings {
		if sp != nil {
			sp.retire()
		}
		sp = newServerPool(settings, server)
		p.servers[server.UUID] = sp
	}
	sp.users++
	sp.maxConns = server.Connections()
	return sp, nil
}

// releaseServer uncounts a user and removes an unused server, because servers may be
// deleted.
func (p *Pool) releaseServer(uuid string, sp *serverPool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sp.users--
	p.removeUnused(uuid, sp)
}

func (p *Pool) removeUnused(uuid string, sp *serverPool) {
	if sp.users == 0 && len(sp.idle) == 0 && p.servers[uuid] == sp && !p.cfg.Now().Before(sp.learnedUntil) {
		delete(p.servers, uuid)
	}
}

// connection returns a healthy idle connection, a new one, or a shared one.
func (p *Pool) connection(ctx context.Context, sp *serverPool, route []ingest.Server) (*conn, error) {
	if c := p.existing(ctx, sp); c != nil {
		return c, nil
	}
	c, err := p.connect(ctx, sp, route)
	if err != nil && ctx.Err() == nil {
		if shared := p.shareAfterFailure(sp, err); shared != nil {
			return shared, nil
		}
	}
	return c, err
}

// existing returns an idle or shared connection, nil if there is none.
func (p *Pool) existing(ctx context.Context, sp *serverPool) *conn {
	for c := p.takeIdle(sp); c != nil; c = p.takeIdle(sp) {
		if c.alive(ctx) {
			return c
		}
		if ctx.Err() == nil { // else its response is not known
			c.kill()
		}
		p.endUse(sp, c)
		if ctx.Err() != nil {
			return nil
		}
	}
	return p.shareAtLimit(sp)
}

// connect makes a connection. If the attempt shows that other processes hold all connections
// that the server accepts, it waits for one of them, once.
func (p *Pool) connect(ctx context.Context, sp *serverPool, route []ingest.Server) (*conn, error) {
	c, busy, err := p.tryConnect(ctx, sp, route, false)
	if busy {
		c, _, err = p.tryConnect(ctx, sp, route, true)
	}
	return c, err
}

// tryConnect makes one attempt; those to one server are serialized. Callers that waited for
// an attempt that failed return its error. busy reports that other processes hold all
// connections, which only the attempt has shown; again is set for the second try.
func (p *Pool) tryConnect(ctx context.Context, sp *serverPool, route []ingest.Server, again bool) (c *conn, busy bool, err error) {
	started, server := time.Now(), route[0]
	select {
	case sp.connecting <- struct{}{}:
	case <-p.closing:
		return nil, false, errPoolClosed()
	case <-ctx.Done():
		return nil, false, ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: no connection attempt was possible in time: other sessions of the server are connecting", server.Name)
	}
	c, d, l, err := p.prepare(ctx, sp, route, started, again)
	if c != nil || err != nil {
		<-sp.connecting
		return c, false, err
	}
	c, err = p.login(ctx, sp, d, l)
	return c, isBusy(err), err
}

// prepare returns a connection that was made or released since started, the error of an
// attempt that failed since, or what a new attempt needs.
func (p *Pool) prepare(ctx context.Context, sp *serverPool, route []ingest.Server, started time.Time, again bool) (c *conn, d *dialer, l *lease, err error) {
	if sp.lastErr != nil && sp.lastErrAt.After(started) {
		return nil, nil, nil, sp.lastErr
	}
	if c = p.existing(ctx, sp); c != nil {
		return c, nil, nil, nil
	}
	if again { // the wait for a lease outlasts the pause after the refused login
		if l, err = p.acquireLease(ctx, sp, route[0]); err == nil {
			if d, err = newDialer(ctx, p.cfg, p.secrets, route); err != nil {
				l.release()
			}
		}
	} else if d, err = newDialer(ctx, p.cfg, p.secrets, route); err == nil {
		l, err = p.acquireLease(ctx, sp, route[0])
	}
	if err != nil && ctx.Err() == nil {
		sp.lastErr, sp.lastErrAt = err, time.Now()
	}
	return nil, d, l, err
}

// acquireLease acquires a lease for a new connection. If the session can share a connection it
// does not wait.
func (p *Pool) acquireLease(ctx context.Context, sp *serverPool, server ingest.Server) (*lease, error) {
	p.mu.Lock()
	wait, limit := p.cfg.ConnectionWait, sp.limit(p.cfg.Now())
	if len(sp.healthy()) > 0 {
		wait = 0
	}
	p.mu.Unlock()
	return p.leases.acquire(ctx, server, limit, wait)
}

// login connects with the lease. If ctx ends first, the attempt goes on without the caller:
// an abandoned login would count as one whose refusal is unknown, and delay the next. The
// next session finds its connection or its error.
func (p *Pool) login(ctx context.Context, sp *serverPool, d *dialer, l *lease) (*conn, error) {
	type outcome struct {
		c   *conn
		err error
	}
	ended := make(chan outcome)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.release()
		<-sp.connecting
		return nil, errPoolClosed()
	}
	sp.users++
	p.watchers.Go(func() {
		defer p.releaseServer(d.server.UUID, sp)
		defer func() { <-sp.connecting }() // sessions that wait for it find the connection idle
		c, err := p.attempt(ctx, sp, d, l)
		select {
		case ended <- outcome{c, err}:
		case <-ctx.Done():
			if err == nil {
				p.endUse(sp, c)
			}
		}
	})
	p.mu.Unlock()
	select {
	case o := <-ended:
		return o.c, o.err
	case <-ctx.Done():
		return nil, d.canceled(ctx)
	}
}

// attempt makes the connection with the lease. The pool's end cancels it, not that of ctx;
// its timeouts bound it.
func (p *Pool) attempt(ctx context.Context, sp *serverPool, d *dialer, l *lease) (*conn, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.watchers.Go(func() {
		select {
		case <-p.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	c, err := p.dialWith(ctx, l, d)
	if err != nil {
		if ctx.Err() == nil {
			err = p.learnLimit(ctx, sp, d.server, l.otherHolders, err)
			if !isBusy(err) {
				sp.lastErr, sp.lastErrAt = err, time.Now()
			}
		}
		return nil, err
	}
	return c, p.track(d.server.UUID, sp, c)
}

// track registers a new connection until it has ended.
func (p *Pool) track(uuid string, sp *serverPool, c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	sp.addSession(c)
	p.watchers.Go(func() {
		c.watchers.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		sp.removeIdle(c)
		p.removeUnused(uuid, sp)
	})
	if p.closed {
		c.kill()
		return errPoolClosed()
	}
	return nil
}

func (p *Pool) takeIdle(sp *serverPool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(sp.idle) == 0 {
		return nil
	}
	c := sp.idle[len(sp.idle)-1]
	sp.removeIdle(c)
	sp.addSession(c)
	return c
}

// release ends the session's use of its connection.
func (p *Pool) release(uuid string, sp *serverPool, c *conn) {
	p.endUse(sp, c)
	<-sp.sessions
	p.releaseServer(uuid, sp)
}

// endUse ends a session of the connection. After the last session the connection becomes
// idle, or is closed if it cannot be reused.
func (p *Pool) endUse(sp *serverPool, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.sessions.Add(-1) > 0 {
		return
	}
	sp.inUse = slices.DeleteFunc(sp.inUse, func(other *conn) bool { return other == c })
	if p.closed || sp.retired || c.failed.Load() || c.draining.Load() {
		c.kill()
		return
	}
	sp.idle = append(sp.idle, c)
	c.lastUsed = time.Now()
	c.idleTimer = time.AfterFunc(p.idleTimeout(sp), func() { p.expire(sp, c) })
}

// idleTimeout returns a short timeout if other processes may wait for the connection.
func (p *Pool) idleTimeout(sp *serverPool) time.Duration {
	if p.cfg.Connections != nil && sp.limit(p.cfg.Now()) > 0 {
		return min(limitedIdleTimeout, p.cfg.IdleTimeout)
	}
	return p.cfg.IdleTimeout
}

// limitRecorded applies the limit that another process has recorded: idle connections are
// closed soon, because it may wait for them.
func (p *Pool) limitRecorded(serverUUID string, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sp := p.servers[serverUUID]
	if sp == nil {
		return
	}
	sp.maxConns = ingest.LowerLimit(sp.maxConns, limit)
	for _, c := range sp.idle {
		c.idleTimer.Reset(max(0, p.idleTimeout(sp)-time.Since(c.lastUsed)))
	}
}

// expire closes a connection that is still idle.
func (p *Pool) expire(sp *serverPool, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(sp.idle, c) {
		sp.removeIdle(c)
		c.finish()
	}
}
