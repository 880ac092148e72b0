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
// limit them by user or address, and records their holders. The ledger implements it.
type Connections interface {
	// OpenConnection records a connection before it is made, unless most are already
	// recorded; 0 sets no bound. holders are the holders of the others. At the limit
	// the id is empty.
	OpenConnection(ctx context.Context, server ingest.Server, holder string, most int) (id string, holders []string, err error)
	// RenewConnection must be called at least every minute while the connection is
	// open.
	RenewConnection(ctx context.Context, server ingest.Server, holder, id string) error
	// CloseConnection deletes the record.
	CloseConnection(ctx context.Context, id string) error
	// RecordConnectionLimit records that the server accepts only most connections. The
	// record expires after holds, and later with each further refused connection.
	RecordConnectionLimit(ctx context.Context, serverUUID string, most int, holds time.Duration) error
}

const (
	// leasePollInterval is the interval of attempts to get a lease.
	leasePollInterval = 250 * time.Millisecond
	// leaseRenewInterval is the interval of RenewConnection.
	leaseRenewInterval = 30 * time.Second
	// leaseUpdateTimeout bounds ledger updates in the background.
	leaseUpdateTimeout = 10 * time.Second
	// limitedIdleTimeout is the idle timeout of connections that other processes may
	// wait for.
	limitedIdleTimeout = 5 * time.Second
)

// defaultHolder returns the default name of this process.
var defaultHolder = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
})

// busyError reports that all connections that the server accepts are in use.
type busyError struct{ holders []string }

func (e *busyError) Error() string {
	return "all connections are in use: " + strings.Join(e.holders, "; ")
}

// newBusyError returns the error for a server at its connection limit.
func newBusyError(server ingest.Server, holders []string) error {
	return wrapBusy(&busyError{holders}, server, holders)
}

// wrapBusy is newBusyError with another cause.
func wrapBusy(cause error, server ingest.Server, holders []string) error {
	shown := make([]string, 0, maxListed)
	for _, holder := range holders[:min(len(holders), maxListed)] {
		shown = append(shown, ingest.Summary(holder))
	}
	return ingest.Wrap(ingest.KindTransient, cause,
		"server %s: all %d connection(s) are in use (%s): retry when transfers and listings have ended; if the server accepts more, raise the limit: `stevedore server edit %s --max-connections N`",
		server.Name, len(holders), strings.Join(shown, "; "), server.Name)
}

// lease is the right to one connection. Without an id there is no record in the ledger.
type lease struct {
	cfg    Config
	server ingest.Server
	id     string
	// otherHolders are the holders of the server's other connections at acquisition.
	otherHolders []string
}

// acquireLease waits up to wait for a lease. limit bounds the server's leases, 0 does not.
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
			return l, wrapBusy(context.Cause(ctx), server, l.otherHolders)
		}
	}
}

// renewUntil renews the lease until ended is closed, then releases it.
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
				return l.cfg.Connections.RenewConnection(ctx, l.server, l.cfg.Holder, l.id)
			})
		}
	}
}

// release releases the lease.
func (l lease) release() {
	if l.id != "" {
		l.update("record the end of a connection", func(ctx context.Context) error { return l.cfg.Connections.CloseConnection(ctx, l.id) })
	}
}

// update runs a ledger update and logs its error, because leases expire without renewal.
func (l lease) update(what string, fn func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseUpdateTimeout)
	defer cancel()
	if err := fn(ctx); err != nil {
		l.cfg.Log.WarnContext(ctx, "cannot "+what, "server", l.server.Name, "error", err)
	}
}

// limitError marks a failure that indicates the server's connection limit.
type limitError struct{ err error }

func (e *limitError) Error() string { return e.err.Error() }
func (e *limitError) Unwrap() error { return e.err }

// unavailablePhrases occur in the disconnect messages of servers that are at their limit
// or shutting down, as opposed to a refused login.
var unavailablePhrases = []string{
	"reason 12:", "too many connections", "too many sessions", "too many users", "too many clients", "too many concurrent", "too many simultaneous",
	"maximum number of", "max number of", "maximum connections", "connection limit", "session limit", "limit reached", "limit exceeded",
	"already logged in", "already connected", "simultaneous", "shutting down", "shutdown", "maintenance", "try again later", "temporarily", "server is busy", "server too busy",
}

// isUnavailable reports whether the text of a disconnect has one of unavailablePhrases.
func isUnavailable(text string) bool {
	text = strings.ToLower(text)
	for _, phrase := range unavailablePhrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}
