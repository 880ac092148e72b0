package sftp

import (
	"context"
	"errors"
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
	// RenewConnections renews the records of open connections. It returns their ids with
	// the recorded limit of their server, 0 for none. The records of the others are
	// deleted: they were not renewed for ingest.ConnectionExpiry.
	RenewConnections(ctx context.Context, ids []string) (limits map[string]int, err error)
	// CloseConnection deletes the record.
	CloseConnection(ctx context.Context, id string) error
	// RecordConnectionLimit records that the server accepts only most connections. The
	// record expires after holds, and later with each further refused connection.
	RecordConnectionLimit(ctx context.Context, serverUUID string, most int, holds time.Duration) error
}

const (
	// leasePollInterval is the interval of attempts to get a lease.
	leasePollInterval = 250 * time.Millisecond
	// leaseRenewTimeout bounds RenewConnections.
	leaseRenewTimeout = 4 * time.Second
	// maxLeaseAge is the time since the last renewal after which a lease could expire
	// before another renewal fails.
	maxLeaseAge = ingest.ConnectionExpiry - ingest.ConnectionRenewal - leaseRenewTimeout
	// leaseReleaseTimeout bounds the release of a lease.
	leaseReleaseTimeout = 10 * time.Second
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

func isBusy(err error) bool {
	_, busy := errors.AsType[*busyError](err)
	return busy
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
	remedy := "retry when transfers and listings have ended"
	switch {
	case server.MaxConnections > 0 && len(holders) >= server.MaxConnections:
		remedy += fmt.Sprintf("; if the server accepts more, raise the limit: `stevedore server edit %s --max-connections N`", server.Name)
	case server.ConnectionLimit > 0:
		remedy += "; the server refused more connections: ask the partner to allow more"
	}
	return ingest.Wrap(ingest.KindTransient, cause, "server %s has no free connection, %s in use (%s): %s",
		server.Name, ingest.Counted(len(holders), "connection", "connections"), strings.Join(shown, "; "), remedy)
}

// limitError marks a failure that indicates the server's connection limit.
type limitError struct{ err error }

func (e *limitError) Error() string { return e.err.Error() }
func (e *limitError) Unwrap() error { return e.err }

// isLimit reports whether err indicates the connection limit of the server itself.
func isLimit(err error) bool {
	_, limit := errors.AsType[*limitError](err)
	return limit && !ofJumpHost(err)
}

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
