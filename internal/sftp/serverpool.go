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

// lane is one server, as long as its settings stay the same.
type serverPool struct {
	settings [sha256.Size]byte
	// slots bounds the sessions.
	sessions chan struct{}
	// turn is held by who connects, one at a time: a password that is no longer
	// right must not be refused to all the files in flight at once.
	connecting chan struct{}
	// failure is how the last connecting failed, and when; the turn guards them.
	lastErr   error
	lastErrAt time.Time

	// The pool's lock guards these.
	idle    []*conn // the last was used last
	inUse   []*conn // in use by at least one session
	users   int     // sessions open or being opened
	retired bool    // the settings have changed: no connection is kept
	// most bounds the connections; learned, until learnedUntil, is how many the
	// server was found to bear.
	maxConns, learned int
	learnedUntil      time.Time
	// known is the bound that the ledger has, 0 for none.
	ledgerLimit int
}

// learnedFor is how long it is kept in mind that a server bears no more
// connections: other clients of the account, or a line that broke, may have been the
// reason. limitFor is for refusals that look like a limit. The ledger keeps both
// longer with each trial that is refused.
const (
	learnedTTL      = 10 * time.Minute
	learnedLimitTTL = time.Hour
)

func newServerPool(settings [sha256.Size]byte, server ingest.Server) *serverPool {
	sessions := max(server.MaxParallel, 1) + 1
	server.ConnectionLimit = 0
	maxConns := cmp.Or(server.Connections(), sessions)
	return &serverPool{settings: settings, sessions: make(chan struct{}, sessions), connecting: make(chan struct{}, 1), maxConns: maxConns}
}

// use counts one more session on the connection.
func (sp *serverPool) addSession(c *conn) {
	if c.sessions.Add(1) == 1 {
		sp.inUse = append(sp.inUse, c)
	}
}

// limit is how many connections there may be now.
func (sp *serverPool) limit(now time.Time) int {
	limit := sp.maxConns
	if sp.ledgerLimit > 0 {
		limit = min(limit, sp.ledgerLimit)
	}
	if sp.learned > 0 && now.Before(sp.learnedUntil) {
		limit = min(limit, sp.learned)
	}
	return limit
}

// healthy are the connections in use that others may share.
func (sp *serverPool) healthy() []*conn {
	return slices.DeleteFunc(slices.Clone(sp.inUse), func(c *conn) bool { return c.failed.Load() || c.draining.Load() })
}

// share returns a connection in use when there may be no more, and nil otherwise.
func (p *Pool) shareAtLimit(sp *serverPool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy := sp.healthy()
	if len(healthy) == 0 || len(healthy) < sp.limit(p.cfg.Now()) {
		return nil
	}
	return sp.shareLeastUsed(healthy)
}

// shareInstead returns a connection in use after there could be no further one; nil
// when the reason is not one that sharing helps against.
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

// mayBeLimit reports whether the failure may be how a server refuses a connection too
// many.
func mayBeLimit(err error) bool {
	kind := ingest.KindOf(err)
	return kind == ingest.KindTransient || kind == ingest.KindServer
}

// learn keeps in mind how many connections the server bears, after it has refused one
// more than this process and others had. It returns what to tell people.
func (p *Pool) learnLimit(ctx context.Context, sp *serverPool, server ingest.Server, others []string, err error) error {
	var limit *limitError
	looksLikeLimit := errors.As(err, &limit)
	if !mayBeLimit(err) || unreachable(err) {
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
	p.cfg.Log.WarnContext(ctx, "a server bears no more connections; sessions share them",
		"server", server.Name, "connections", conns, "error", err)
	if p.cfg.Connections != nil {
		if err := p.cfg.Connections.LearnConnections(ctx, server.UUID, conns, ttl); err != nil {
			p.cfg.Log.WarnContext(ctx, "cannot record how many connections a server bears", "server", server.Name, "error", err)
		}
	}
	if ours == 0 {
		return newBusyError(server, others)
	}
	return err
}

// leastUsed counts one more session on the connection with the fewest.
func (sp *serverPool) shareLeastUsed(conns []*conn) *conn {
	c := slices.MinFunc(conns, func(a, b *conn) int { return cmp.Compare(a.sessions.Load(), b.sessions.Load()) })
	sp.addSession(c)
	return c
}

// drop takes a connection from the idle ones, if it is there.
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
		c.draining.Store(true) // no other session may share it
	}
}

// settingsOf digests all that a connection to the first server of the route is
// made from. Root folder and globs are not in it: they matter to a listing only.
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
