package sftp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"stevedore/internal/ingest"
)

// serverPool has the connections to one server. Changed settings replace it.
type serverPool struct {
	settings [sha256.Size]byte
	// sessions bounds the sessions.
	sessions chan struct{}
	// connecting serializes connection attempts: a password that has become invalid
	// must not be refused once for each file in flight.
	connecting chan struct{}
	// lastErr is the error of the last failed attempt, at lastErrAt, unless other processes
	// hold all connections; connecting guards them.
	lastErr   error
	lastErrAt time.Time

	// The pool's lock guards these.
	idle    []*conn // the most recently used last
	inUse   []*conn // in use by at least one session
	users   int     // sessions open or being opened
	retired bool    // the settings have changed: connections are not reused
	// maxConns is Server.Connections as last read; learned is the server's own limit as
	// observed by this process, valid until learnedUntil. 0 means none.
	maxConns, learned int
	learnedUntil      time.Time
}

// learnedTTL is the validity of a limit learned from any failure, which other clients of
// the account or the network may have caused. learnedLimitTTL is for failures that look
// like a connection limit. The ledger extends both with each further refusal.
const (
	learnedTTL      = 10 * time.Minute
	learnedLimitTTL = time.Hour
)

func newServerPool(settings [sha256.Size]byte, server ingest.Server) *serverPool {
	sessions := max(server.MaxParallel, 1) + 1
	return &serverPool{settings: settings, sessions: make(chan struct{}, sessions), connecting: make(chan struct{}, 1)}
}

// addSession counts one more session on the connection.
func (sp *serverPool) addSession(c *conn) {
	if c.sessions.Add(1) == 1 {
		sp.inUse = append(sp.inUse, c)
	}
}

// limit returns the maximum number of connections of all processes to the server; 0 means
// no limit.
func (sp *serverPool) limit(now time.Time) int {
	if now.Before(sp.learnedUntil) {
		return ingest.LowerLimit(sp.maxConns, sp.learned)
	}
	return sp.maxConns
}

// healthy returns the connections in use that further sessions may share.
func (sp *serverPool) healthy() []*conn {
	return slices.DeleteFunc(slices.Clone(sp.inUse), func(c *conn) bool { return c.failed.Load() || c.draining.Load() })
}

// shareAtLimit returns a connection in use if the limit is reached, and nil otherwise.
func (p *Pool) shareAtLimit(sp *serverPool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy, limit := sp.healthy(), sp.limit(p.cfg.Now())
	if len(healthy) == 0 || limit == 0 || len(healthy) < limit {
		return nil
	}
	return sp.shareLeastUsed(healthy)
}

// shareAfterFailure returns a connection in use after a further one failed. It returns
// nil if sharing does not help against the error.
func (p *Pool) shareAfterFailure(sp *serverPool, err error) *conn {
	if !mayBeLimit(err) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy := sp.healthy()
	if len(healthy) == 0 || p.closed {
		return nil
	}
	return sp.shareLeastUsed(healthy)
}

// mayBeLimit reports whether the failure may be caused by a connection limit.
func mayBeLimit(err error) bool {
	kind := ingest.KindOf(err)
	return kind == ingest.KindTransient || kind == ingest.KindServer
}

// learnLimit records the server's connection limit after a refusal: the number of open
// connections of this process and of the others. It returns the error to report.
func (p *Pool) learnLimit(ctx context.Context, sp *serverPool, server ingest.Server, others []string, err error) error {
	looksLikeLimit := isLimit(err)
	if !mayBeLimit(err) || unreachable(err) || errors.Is(err, errLeaseLost) || ofJumpHost(err) {
		return err
	}
	p.mu.Lock()
	ours := len(sp.healthy())
	conns, ttl := max(ours, len(others)), learnedTTL
	if looksLikeLimit {
		ttl = learnedLimitTTL
	}
	plausible := conns > 0 && (ours > 0 || looksLikeLimit) && !p.closed
	if plausible {
		sp.learned, sp.learnedUntil = conns, p.cfg.Now().Add(ttl)
	}
	p.mu.Unlock()
	if !plausible {
		return err
	}
	p.recordLimit(ctx, server, conns, ttl, err)
	if ours == 0 {
		return newBusyError(server, others)
	}
	return err
}

// recordLimit records for all processes that the server accepts only conns connections, as
// shown by err.
func (p *Pool) recordLimit(ctx context.Context, server ingest.Server, conns int, ttl time.Duration, err error) {
	p.cfg.Log.WarnContext(ctx, "connection limit of server learned; sessions share connections",
		"server", server.Name, "connections", conns, "error", err)
	if p.cfg.Connections != nil {
		if err := p.cfg.Connections.RecordConnectionLimit(ctx, server.UUID, conns, ttl); err != nil {
			p.cfg.Log.WarnContext(ctx, "cannot record the connection limit of a server", "server", server.Name, "error", err)
		}
	}
}

// shareLeastUsed adds a session to the connection with the fewest and returns it.
func (sp *serverPool) shareLeastUsed(conns []*conn) *conn {
	c := slices.MinFunc(conns, func(a, b *conn) int { return cmp.Compare(a.sessions.Load(), b.sessions.Load()) })
	sp.addSession(c)
	return c
}

// removeIdle removes the connection from the idle ones, if present.
func (sp *serverPool) removeIdle(c *conn) {
	if i := slices.Index(sp.idle, c); i >= 0 {
		sp.idle = slices.Delete(sp.idle, i, i+1)
		c.idleTimer.Stop()
	}
}

func (sp *serverPool) retire() {
	sp.retired = true
	for _, c := range slices.Clone(sp.idle) {
		sp.removeIdle(c)
		c.kill()
	}
	for _, c := range sp.inUse {
		c.draining.Store(true)
	}
}

// settingsDigest returns a digest of the settings that a connection depends on. Root
// folder and globs are left out: only listings use them.
func settingsDigest(route []ingest.Server) [sha256.Size]byte {
	var all []any
	for _, server := range route {
		all = append(all, server.Host, server.Port, server.Username, server.HostKeys, server.MaxParallel, server.LegacyAlgorithms,
			server.PasswordEncrypted, server.PrivateKeyEncrypted, server.Proxy, server.Jump, server.MaxConnections,
			server.ConnectTimeout, server.LoginTimeout)
	}
	// Marshalling strings, numbers and bytes cannot fail.
	text, _ := json.Marshal(all)
	return sha256.Sum256(text)
}
