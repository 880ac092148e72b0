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
type lane struct {
	settings [sha256.Size]byte
	// slots bounds the sessions.
	slots chan struct{}
	// turn is held by who connects, one at a time: a password that is no longer
	// right must not be refused to all the files in flight at once.
	turn chan struct{}
	// failure is how the last connecting failed, and when; the turn guards them.
	failure  error
	failedAt time.Time

	// The pool's lock guards these.
	idle    []*conn // the last was used last
	busy    []*conn // in use by at least one session
	users   int     // sessions open or being opened
	retired bool    // the settings have changed: no connection is kept
	// most bounds the connections; learned, until learnedUntil, is how many the
	// server was found to bear.
	most, learned int
	learnedUntil  time.Time
	// known is the bound that the ledger has, 0 for none.
	known int
}

// learnedFor is how long it is kept in mind that a server bears no more
// connections: other clients of the account, or a line that broke, may have been the
// reason. limitFor is for refusals that look like a limit. The ledger keeps both
// longer with each trial that is refused.
const (
	learnedFor = 10 * time.Minute
	limitFor   = time.Hour
)

func newLane(settings [sha256.Size]byte, server ingest.Server) *lane {
	sessions := max(server.MaxParallel, 1) + 1
	server.ConnectionLimit = 0
	most := cmp.Or(server.Connections(), sessions)
	return &lane{settings: settings, slots: make(chan struct{}, sessions), turn: make(chan struct{}, 1), most: most}
}

// use counts one more session on the connection.
func (l *lane) use(c *conn) {
	if c.sharers.Add(1) == 1 {
		l.busy = append(l.busy, c)
	}
}

// limit is how many connections there may be now.
func (l *lane) limit(now time.Time) int {
	most := l.most
	if l.known > 0 {
		most = min(most, l.known)
	}
	if l.learned > 0 && now.Before(l.learnedUntil) {
		most = min(most, l.learned)
	}
	return most
}

// healthy are the connections in use that others may share.
func (l *lane) healthy() []*conn {
	return slices.DeleteFunc(slices.Clone(l.busy), func(c *conn) bool { return c.spoiled.Load() || c.tired.Load() })
}

// share returns a connection in use when there may be no more, and nil otherwise.
func (p *Pool) share(l *lane) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy := l.healthy()
	if len(healthy) == 0 || len(healthy) < l.limit(p.cfg.Now()) {
		return nil
	}
	return l.leastUsed(healthy)
}

// shareInstead returns a connection in use after there could be no further one; nil
// when the reason is not one that sharing helps against.
func (p *Pool) shareInstead(l *lane, refused error) *conn {
	if !mayBeLimit(refused) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy := l.healthy()
	if len(healthy) == 0 || p.closed {
		return nil
	}
	return l.leastUsed(healthy)
}

// mayBeLimit reports whether the failure may be how a server refuses a connection too
// many.
func mayBeLimit(err error) bool {
	kind := ingest.KindOf(err)
	return kind == ingest.KindTransient || kind == ingest.KindServer
}

// learn keeps in mind how many connections the server bears, after it has refused one
// more than this process and others had. It returns what to tell people.
func (p *Pool) learn(ctx context.Context, l *lane, server ingest.Server, others []string, refused error) error {
	var limit *limitError
	looksLikeLimit := errors.As(refused, &limit)
	if !mayBeLimit(refused) || unreachable(refused) {
		return refused
	}
	p.mu.Lock()
	own := len(l.healthy())
	bears, holds := max(own, len(others)), learnedFor
	if looksLikeLimit {
		holds = limitFor
	}
	known := bears > 0 && (own > 0 || looksLikeLimit) && !p.closed
	if known {
		l.learned, l.learnedUntil = bears, p.cfg.Now().Add(holds)
	}
	p.mu.Unlock()
	if !known {
		return refused
	}
	p.cfg.Log.WarnContext(ctx, "a server bears no more connections; sessions share them",
		"server", server.Name, "connections", bears, "error", refused)
	if p.cfg.Connections != nil {
		if err := p.cfg.Connections.LearnConnections(ctx, server.UUID, bears, holds); err != nil {
			p.cfg.Log.WarnContext(ctx, "cannot record how many connections a server bears", "server", server.Name, "error", err)
		}
	}
	if own == 0 {
		return busy(server, others)
	}
	return refused
}

// leastUsed counts one more session on the connection with the fewest.
func (l *lane) leastUsed(conns []*conn) *conn {
	c := slices.MinFunc(conns, func(a, b *conn) int { return cmp.Compare(a.sharers.Load(), b.sharers.Load()) })
	l.use(c)
	return c
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
	for _, c := range l.busy {
		c.tired.Store(true) // no other session may share it
	}
}

// settingsOf digests all that a connection to the first server of the route is
// made from. Root folder and globs are not in it: they matter to a listing only.
func settingsOf(route []ingest.Server) [sha256.Size]byte {
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
