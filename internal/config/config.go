// Package config loads stevedore's typed configuration from flags, environment
// variables and an optional file, in this order of precedence.
//
// The struct tags below are the one place that says what a variable is called,
// what it means, its default and who needs it. "stevedore config", the table in
// the documentation and the command-line flags are made from them.
//
//	env         name of the variable
//	envDefault  value when it is not set
//	doc         meaning and unit, for people
//	required    components that do not start without it
//
// Values of type Secret and URL are never printed; see there.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is the whole configuration. Load makes it.
type Config struct {
	Database    Database
	S3          S3
	AMQP        AMQP
	API         API
	Client      Client
	Staging     Staging
	Transfer    Transfer
	Credentials Credentials
	Scan        Scan
	SFTP        SFTP
	Worker      Worker
	Log         Log

	// loaded returns what Load found, secrets in clear. It is a function because
	// fmt prints unexported fields without asking them, but not what a function
	// closes over.
	loaded func() loaded
}

// Component names a part of stevedore by what it needs to be configured.
type Component string

// The components. Setup stands for migrate, too, with all it has to create.
const (
	ComponentWorker  Component = "worker"
	ComponentAPI     Component = "api"
	ComponentSetup   Component = "setup"
	ComponentMigrate Component = "migrate"
	ComponentCLI     Component = "cli"
	ComponentKeys    Component = "keys"
	// ComponentBreakGlass is an API for one command.
	ComponentBreakGlass Component = "break-glass"
)

// Database is the ledger's PostgreSQL.
type Database struct {
	// URL is a postgres:// URL; it may hold a password.
	URL URL `env:"STEVEDORE_DATABASE_URL" required:"worker,api,setup,migrate,keys,break-glass" doc:"PostgreSQL of the ledger: postgres://user:password@host:5432/name"`
}

// S3 is the object store files go to.
type S3 struct {
	Endpoint  string `env:"STEVEDORE_S3_ENDPOINT" required:"worker,setup" doc:"Address of the object store as host:port, without http://"`
	AccessKey string `env:"STEVEDORE_S3_ACCESS_KEY" required:"worker,setup" doc:"Access key of the object store"`
	SecretKey Secret `env:"STEVEDORE_S3_SECRET_KEY" required:"worker,setup" doc:"Secret key of the object store"`
	Bucket    string `env:"STEVEDORE_S3_BUCKET" envDefault:"stevedore" doc:"Bucket that files are written to"`
	Region    string `env:"STEVEDORE_S3_REGION" envDefault:"us-east-1" doc:"Region of the bucket"`
	UseTLS    bool   `env:"STEVEDORE_S3_USE_TLS" envDefault:"true" doc:"Whether to speak TLS to the object store: true or false"`
}

// AMQP is the broker that completed files are announced to.
type AMQP struct {
	// URL is an amqp:// or amqps:// URL; it may hold a password.
	URL   URL    `env:"STEVEDORE_AMQP_URL" required:"worker,setup" doc:"Broker: amqp://user:password@host:5672/vhost, or amqps://"`
	Queue string `env:"STEVEDORE_AMQP_QUEUE" envDefault:"file_imports" doc:"Durable queue that setup declares"`
	// Exchange is empty for the default exchange, which routes to queues by name.
	Exchange string `env:"STEVEDORE_AMQP_EXCHANGE" doc:"Exchange to publish to; empty is the broker's default exchange"`
	// RoutingKey is never empty after Load with the default exchange.
	RoutingKey string `env:"STEVEDORE_AMQP_ROUTING_KEY" doc:"Routing key; left empty it is the name of the queue"`
}

// API is the REST server.
type API struct {
	Addr string `env:"STEVEDORE_API_ADDR" envDefault:"127.0.0.1:9000" doc:"Address the API listens on, as host:port"`
	// Token has at least 32 characters where the API reads it.
	Token Secret `env:"STEVEDORE_TOKEN" required:"api,cli" doc:"Bearer token: of an admin called bootstrap, with at least 32 characters, where the API or a worker reads it, whoever's it is where the command line asks the API"`
	// TrustedProxies are believed when they say in X-Forwarded-For for whom they
	// ask; nobody else is. Without any, all that come through a proxy share its
	// address in the log and where wrong tokens are slowed down.
	TrustedProxies []netip.Prefix `env:"STEVEDORE_API_TRUSTED_PROXIES" doc:"Reverse proxies whose X-Forwarded-For is believed, as CIDRs separated by commas"`
}

// Client is where people and the command line find things.
type Client struct {
	URL URL `env:"STEVEDORE_API_URL" envDefault:"http://127.0.0.1:9000" doc:"Where the command line finds the API"`
	// TemporalUI may be empty: then there are no links.
	TemporalUI URL `env:"STEVEDORE_TEMPORAL_UI_URL" doc:"Where browsers find Temporal's Web UI, for links to workflows"`
	// S3Console may be empty: then there are no links.
	S3Console URL `env:"STEVEDORE_S3_CONSOLE_URL" doc:"Where browsers find MinIO's console, for links to objects"`
}

// Staging is the folder through which a worker's files pass.
type Staging struct {
	// Dir belongs to one worker process alone.
	Dir string `env:"STEVEDORE_STAGING_DIR" envDefault:"/var/lib/stevedore/staging" doc:"Folder for files on their way; each worker needs its own"`
	// ReserveBytes of the volume stay free.
	ReserveBytes int64 `env:"STEVEDORE_STAGING_RESERVE_BYTES" envDefault:"1073741824" doc:"Bytes of the staging volume that are always left free"`
}

// Transfer decides how the bytes of files travel.
type Transfer struct {
	// MemoryLimit is the largest file of the memory mode, in bytes.
	MemoryLimit int64 `env:"STEVEDORE_TRANSFER_MEMORY_LIMIT" envDefault:"4194304" doc:"Largest file, in bytes, that is moved in memory without staging; 0 switches that off"`
	// MemoryBudget bounds the memory for file contents in one worker, in bytes.
	MemoryBudget int64 `env:"STEVEDORE_TRANSFER_MEMORY_BUDGET" envDefault:"134217728" doc:"Bytes of files that one worker holds in memory at the same time, for memory and direct transfers"`
	// DirectAbove is the size above which auto takes direct, in bytes.
	DirectAbove int64 `env:"STEVEDORE_TRANSFER_DIRECT_ABOVE" envDefault:"268435456" doc:"Size in bytes above which files of servers with transfer=auto are moved directly, without staging"`
	// ChecksumWait bounds waiting for a checksum file that fits.
	ChecksumWait time.Duration `env:"STEVEDORE_TRANSFER_CHECKSUM_WAIT" envDefault:"10m" doc:"How long after the first sight of a file a checksum file that does not fit it is looked at again before it condemns the file, and how long one that may not be opened is tried again; 0s: at once"`
}

// Credentials protects the credentials of SFTP servers in the database.
type Credentials struct {
	// KeysetFile holds the keys; whoever has it and the database has the passwords.
	KeysetFile string `env:"STEVEDORE_KEYSET_FILE" required:"worker,api,setup,keys,break-glass" doc:"File with the keys that encrypt SFTP credentials; setup makes it"`
}

// Scan holds what servers do that do not say otherwise themselves.
type Scan struct {
	Interval time.Duration `env:"STEVEDORE_SCAN_INTERVAL" envDefault:"1m" doc:"Time between two scans of a server, e.g. 30s or 5m"`
	Settle   time.Duration `env:"STEVEDORE_SETTLE" envDefault:"10s" doc:"How long a file must stay unchanged before it is taken, e.g. 10s"`
}

// SFTP limits where servers may be.
type SFTP struct {
	// AllowNetworks are loopback, private and link-local ranges in which SFTP
	// servers may be all the same; public addresses are always allowed.
	AllowNetworks []netip.Prefix `env:"STEVEDORE_SFTP_ALLOW_NETWORKS" doc:"Loopback or private networks an SFTP server may be in, as CIDRs separated by commas; public addresses always may"`
}

// Worker sizes one worker process.
type Worker struct {
	MaxDownloads int `env:"STEVEDORE_WORKER_MAX_DOWNLOADS" envDefault:"8" doc:"Files one worker downloads at the same time"`
	MaxUploads   int `env:"STEVEDORE_WORKER_MAX_UPLOADS" envDefault:"4" doc:"Files one worker verifies or uploads at the same time"`
	// StopTimeout should be shorter than what the supervisor waits before it kills.
	StopTimeout time.Duration `env:"STEVEDORE_WORKER_STOP_TIMEOUT" envDefault:"40s" doc:"How long a stopping worker waits for running steps to reach a checkpoint"`
	// HostTimeout is the schedule-to-start time-out of steps bound to a worker.
	HostTimeout time.Duration `env:"STEVEDORE_WORKER_HOST_TIMEOUT" envDefault:"5m" doc:"How long a file waits for the worker that holds its bytes before another one starts it over"`
	// MetricsAddr is empty by default: then nothing is listened on.
	MetricsAddr string `env:"STEVEDORE_WORKER_METRICS_ADDR" doc:"Address a worker serves /metrics, /livez and /readyz on, as host:port, e.g. 127.0.0.1:9100; empty: on none"`
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level `env:"STEVEDORE_LOG_LEVEL" envDefault:"info" doc:"Least important messages to log: debug, info, warn or error"`
	Format string     `env:"STEVEDORE_LOG_FORMAT" envDefault:"text" doc:"Format of the log: text or json"`
}
