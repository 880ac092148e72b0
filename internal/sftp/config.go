// Package sftp reaches partners' SFTP servers: pinned host keys, bounded and
// reused connections, listings, and reads by offset.
//
// A server is a stranger. Nothing it sends is trusted to be small, honest or
// to come at all: every exchange has a deadline, names are checked before they
// become paths, and what hangs is ended by closing the SSH connection, because
// closing anything above it can wait for the very answer that does not come.
package sftp

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"stevedore/internal/ingest"
)

// Config says how servers are treated. Zero fields get the defaults named.
type Config struct {
	// ConnectTimeout bounds resolving the name and the TCP connection; default 20s.
	ConnectTimeout time.Duration
	// HandshakeTimeout bounds everything from the first byte to the ready SFTP
	// channel, logging in included; default 1m: some
	// servers ask a slow directory.
	HandshakeTimeout time.Duration
	// KeepaliveInterval is how often a silent connection is asked for a sign of
	// life; default 15s. KeepaliveMisses is how many intervals may then pass
	// without one byte before the connection is given up; default 3.
	KeepaliveInterval time.Duration
	KeepaliveMisses   int
	// IdleTimeout is how long an unused connection is kept; default 5m.
	IdleTimeout time.Duration
	// FreshUse is the time after its last use in which a connection is reused
	// without asking the server first, which saves a round trip for each small file;
	// default 1s. Servers that close idle connections wait longer.
	FreshUse time.Duration
	// NoProgress is how long one exchange, one listing or one file may bring
	// nothing new before its connection is closed; default 60s. A server that
	// answers for ever without giving anything is caught by this alone.
	NoProgress time.Duration
	// AllowNetworks are the loopback, private, link-local and other special
	// networks in which a server may be; default none. Public addresses are
	// always allowed.
	AllowNetworks []netip.Prefix
	// MaxEntriesPerFolder bounds one folder, which is held in memory while it
	// is listed (about 300 bytes an entry); default 1,000,000.
	MaxEntriesPerFolder int
	// MaxBytesPerFolder bounds what a server may send of one folder; default 256 MiB.
	MaxBytesPerFolder int64
	// MaxEntries and MaxBytes bound one listing of one server, so that a server that makes
	// up folders without end is noticed; default
	// 10,000,000 and 4 GiB.
	MaxEntries, MaxBytes int64
	// Passwords bounds refused log-ins over all processes; nil does not.
	Passwords PasswordBudget
	// Connections bounds connections over all processes; nil does not. Holder names
	// this process to people; default host and process id. ConnectionWait is how long
	// to wait for a free one; default 30s.
	Connections    Connections
	Holder         string
	ConnectionWait time.Duration
	// Directory finds jump hosts; nil refuses servers with one.
	Directory Directory
	// Now returns the time by which pins expire; default time.Now.
	Now func() time.Time
	// Log gets what cannot be recorded; nil discards.
	Log *slog.Logger
}

// The defaults of Config.
const (
	DefaultConnectTimeout      = 20 * time.Second
	DefaultHandshakeTimeout    = time.Minute
	DefaultKeepaliveInterval   = 15 * time.Second
	DefaultKeepaliveMisses     = 3
	DefaultIdleTimeout         = 5 * time.Minute
	DefaultFreshUse            = time.Second
	DefaultNoProgress          = time.Minute
	DefaultConnectionWait      = 30 * time.Second
	DefaultMaxEntriesPerFolder = 1_000_000
	DefaultMaxBytesPerFolder   = 256 << 20
	DefaultMaxEntries          = 10_000_000
	DefaultMaxBytes            = 4 << 30
)

func (c Config) withDefaults() Config {
	setDefault(&c.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&c.KeepaliveInterval, DefaultKeepaliveInterval)
	setDefault(&c.KeepaliveMisses, DefaultKeepaliveMisses)
	setDefault(&c.IdleTimeout, DefaultIdleTimeout)
	setDefault(&c.FreshUse, DefaultFreshUse)
	setDefault(&c.NoProgress, DefaultNoProgress)
	setDefault(&c.MaxEntriesPerFolder, DefaultMaxEntriesPerFolder)
	setDefault(&c.MaxBytesPerFolder, DefaultMaxBytesPerFolder)
	setDefault(&c.MaxEntries, DefaultMaxEntries)
	setDefault(&c.MaxBytes, DefaultMaxBytes)
	setDefault(&c.ConnectionWait, DefaultConnectionWait)
	if c.Holder == "" {
		c.Holder = defaultHolder()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.AllowNetworks = slices.Clone(c.AllowNetworks)
	return c
}

// of returns the configuration with the server's own time-outs.
func (c Config) forServer(server ingest.Server) Config {
	if server.ConnectTimeout > 0 {
		c.ConnectTimeout = time.Duration(server.ConnectTimeout)
	}
	if server.LoginTimeout > 0 {
		c.HandshakeTimeout = time.Duration(server.LoginTimeout)
	}
	return c
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Secrets opens the credentials of a server. They are asked for at each log-in
// and not kept.
type Secrets interface {
	Credentials(ctx context.Context, server ingest.Server) (ingest.Credentials, error)
}
