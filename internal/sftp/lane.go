package sftp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
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
}

// learnedFor is how long it is kept in mind that a server bears no more
// connections: other clients of the account may have been the reason.
const learnedFor = 10 * time.Minute

func newLane(settings [sha256.Size]byte, server ingest.Server) *lane {
	sessions := max(server.MaxParallel, 1) + 1
	most := cmp.Or(server.MaxConnections, sessions)
	if server.MaxConnections == 0 && server.MaxParallel <= 1 {
		// Who wants one file at a time often has a server that lets a user in once.
		most = 1
	}
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
	if l.learned > 0 && now.Before(l.learnedUntil) {
		return min(l.learned, l.most)
	}
	return l.most
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

// shareInstead returns a connection in use after the server has refused one more,
// and keeps in mind how many it bears.
func (p *Pool) shareInstead(l *lane, server ingest.Server, refused error) *conn {
	if kind := ingest.KindOf(refused); kind != ingest.KindTransient && kind != ingest.KindServer {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy := l.healthy()
	if len(healthy) == 0 || p.closed {
		return nil
	}
	if !unreachable(refused) {
		l.learned, l.learnedUntil = len(healthy), p.cfg.Now().Add(learnedFor)
		p.cfg.Log.WarnContext(context.Background(), "a server bears no more connections; sessions share them",
			"server", server.Name, "connections", l.learned, "error", refused)
	}
	return l.leastUsed(healthy)
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
