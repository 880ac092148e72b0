package sftp

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"stevedore/internal/ingest"
)

// Config configures a Pool. Zero fields get the stated defaults.
type Config struct {
	// ConnectTimeout bounds name resolution and the TCP connection; default 20s.
	ConnectTimeout time.Duration
	// HandshakeTimeout bounds the time from the TCP connection to the open SFTP
	// channel, including the login; default 1m, because some servers authenticate
	// against a slow directory service.
	HandshakeTimeout time.Duration
	// KeepaliveInterval is the interval of keepalive requests on a silent connection;
	// default 15s. KeepaliveMisses is the number of intervals without a byte after
	// which the connection is closed; default 3.
	KeepaliveInterval time.Duration
	KeepaliveMisses   int
	// IdleTimeout is the time after which an unused connection is closed; default 5m.
	IdleTimeout time.Duration
	// FreshUse is the time after its last use in which a connection is reused without
	// a keepalive request; default 1s. This saves a round trip for each small file.
	// Servers close idle connections later than that.
	FreshUse time.Duration
	// AnswerTimeout is the maximum time without new data for a request, a listing or a
	// file; then its connection is closed. Default 60s. It also ends servers that send
	// endless replies without data.
	AnswerTimeout time.Duration
	// AllowNetworks lists the loopback, private, link-local and other special
	// networks in which servers are allowed; default none. Public addresses are
	// always allowed.
	AllowNetworks []netip.Prefix
	// MaxEntriesPerFolder bounds one folder, which is held in memory (about 300 bytes
	// per entry) while it is listed; default 1,000,000.
	MaxEntriesPerFolder int
	// MaxBytesPerFolder bounds the listing data of one folder; default 256 MiB.
	MaxBytesPerFolder int64
	// MaxEntries and MaxBytes bound one listing of one server, because a server can
	// generate endless folders; default 10,000,000 and 4 GiB.
	MaxEntries, MaxBytes int64
	// Passwords bounds refused logins over all processes; nil sets no bound.
	// DraftPasswords is used instead for the server with the uuid DraftUUID, which is not
	// in the ledger yet.
	Passwords, DraftPasswords PasswordBudget
	DraftUUID                 string
	// Connections bounds connections over all processes; nil sets no bound. Holder is
	// the display name of this process; default host and process id. ConnectionWait is
	// the time to wait for a free connection; default 30s.
	Connections    Connections
	Holder         string
	ConnectionWait time.Duration
	// Directory looks up jump hosts; nil refuses servers with a jump host.
	Directory Directory
	// Now returns the current time, for the expiry of pins; default time.Now.
	Now func() time.Time
	// Log gets warnings, e.g. of failed ledger updates; nil discards them.
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
	DefaultAnswerTimeout       = time.Minute
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
	setDefault(&c.AnswerTimeout, DefaultAnswerTimeout)
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

// forServer returns the configuration with the server's own timeouts.
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

// Secrets decrypts the credentials of a server. It is called for each login; the
// credentials are not cached.
type Secrets interface {
	Credentials(ctx context.Context, server ingest.Server) (ingest.Credentials, error)
}
