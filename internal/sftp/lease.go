package sftp

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// Connections bounds the connections to a server over all processes, because servers
// bound them by user or address, and records who has them. The ledger keeps it.
type Connections interface {
	// OpenConnection records a connection that is about to be made, unless most are
	// recorded; 0 has no bound. When full it returns no id and who holds them.
	OpenConnection(ctx context.Context, server ingest.Server, holder string, most int) (id string, holders []string, err error)
	// ConfirmConnection must be called every minute while the connection stands.
	ConfirmConnection(ctx context.Context, server ingest.Server, holder, id string) error
	// CloseConnection forgets the connection.
	CloseConnection(ctx context.Context, id string) error
	// LearnConnections records how many connections the server bears. It holds for the
	// time given, and longer with each trial for more that is refused.
	LearnConnections(ctx context.Context, serverUUID string, most int, holds time.Duration) error
}

const (
	// placeAgain is how soon a full server is looked at again.
	leasePollInterval = 250 * time.Millisecond
	// confirmEvery is how often a connection is confirmed.
	leaseRenewInterval = 30 * time.Second
	// placeTimeout bounds what is recorded of a connection that nobody waits for.
	leaseUpdateTimeout = 10 * time.Second
	// fewIdle is how long a connection is kept idle where other processes may wait
	// for it.
	limitedIdleTimeout = 5 * time.Second
)

// defaultHolder names this process.
var defaultHolder = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
})

// busyError says that all connections which the server bears are in use.
type busyError struct{ holders []string }

func (e *busyError) Error() string {
	return "all connections are in use: " + strings.Join(e.holders, "; ")
}

// busy is the error for a server without a free place.
func newBusyError(server ingest.Server, holders []string) error {
	shown := make([]string, 0, maxListed)
	for _, holder := range holders[:min(len(holders), maxListed)] {
		shown = append(shown, ingest.Summary(holder))
	}
	return ingest.Wrap(ingest.KindTransient, &busyError{holders},
		"server %s: all %d connection(s) that it bears are in use (%s): try again when transfers and listings have ended; if the server bears more, raise the limit: `stevedore server edit %s --max-connections N`",
		server.Name, len(holders), strings.Join(shown, "; "), server.Name)
}

// place is the right to one connection. The zero value has no ledger behind it.
type lease struct {
	cfg    Config
	server ingest.Server
	id     string
	// others are who had the server's other connections when the place was taken.
	otherHolders []string
}

// takePlace waits for a place among those that the server bears.
func acquireLease(ctx context.Context, cfg Config, server ingest.Server, limit int, wait time.Duration) (lease, error) {
	l := lease{cfg: cfg, server: server}
	if cfg.Connections == nil {
		return l, nil
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		var err error
		if l.id, l.otherHolders, err = cfg.Connections.OpenConnection(ctx, server, cfg.Holder, limit); err != nil || l.id != "" {
			return l, err
		}
		if wait <= 0 {
			return l, newBusyError(server, l.otherHolders)
		}
		select {
		case <-time.After(leasePollInterval):
		case <-timeout.C:
			return l, newBusyError(server, l.otherHolders)
		case <-ctx.Done():
			return l, ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: gave up waiting for one of its connections (%s)",
				server.Name, ingest.Summary(strings.Join(l.otherHolders, "; ")))
		}
	}
}

// keep confirms the connection until it has ended, and then leaves the place.
func (l lease) renewUntil(ended <-chan struct{}) {
	defer l.release()
	if l.id == "" {
		return
	}
	tick := time.NewTicker(leaseRenewInterval)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			l.update("confirm a connection", func(ctx context.Context) error {
				return l.cfg.Connections.ConfirmConnection(ctx, l.server, l.cfg.Holder, l.id)
			})
		}
	}
}

// leave gives the place back.
func (l lease) release() {
	if l.id != "" {
		l.update("record the end of a connection", func(ctx context.Context) error { return l.cfg.Connections.CloseConnection(ctx, l.id) })
	}
}

// record makes a note that may fail: what is not confirmed is forgotten by itself.
func (l lease) update(what string, fn func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseUpdateTimeout)
	defer cancel()
	if err := fn(ctx); err != nil {
		l.cfg.Log.WarnContext(ctx, "cannot "+what, "server", l.server.Name, "error", err)
	}
}

// limitError marks a failure that is how servers refuse one connection too many.
type limitError struct{ err error }

func (e *limitError) Error() string { return e.err.Error() }
func (e *limitError) Unwrap() error { return e.err }

// ownReasons are in the last words of a server that ends a connection for a reason
// other than the log-in: it is full, or about to stop.
var unavailablePhrases = []string{
	"reason 12:", "too many connections", "too many sessions", "too many users", "too many clients", "too many concurrent", "too many simultaneous",
	"maximum number of", "max number of", "maximum connections", "connection limit", "session limit", "limit reached", "limit exceeded",
	"already logged in", "already connected", "simultaneous", "shutting down", "shutdown", "maintenance", "try again later", "temporarily", "server is busy", "server too busy",
}

// ownReason reports whether the text of a disconnect names one.
func isUnavailable(text string) bool {
	text = strings.ToLower(text)
	for _, phrase := range unavailablePhrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}
