// Package config loads stevedore's typed configuration. Flags take precedence over
// environment variables, those over the configuration file, and that over defaults.
//
// The struct tags below are the only definition of a variable. The command
// "stevedore config", docs/configuration.md and the command-line flags are generated
// from them.
//
//	env         name of the variable
//	envDefault  default value
//	doc         meaning and unit, for users
//	required    components that do not start without it
//
// Values of type Secret and URL are masked when printed.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is the whole configuration. Load returns one.
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

	// loaded returns what Load read, with secrets in clear. It is a function because
	// fmt prints unexported fields without calling their Format method, but cannot
	// print the variables of a closure.
	loaded func() loaded
}

// Component is a command or process, as far as its required variables differ.
type Component string

// The components.
const (
	ComponentWorker  Component = "worker"
	ComponentAPI     Component = "api"
	ComponentSetup   Component = "setup"
	ComponentMigrate Component = "migrate"
	ComponentCLI     Component = "cli"
	ComponentKeys    Component = "keys"
	// ComponentBreakGlass is an API that runs inside a single command, for emergencies.
	ComponentBreakGlass Component = "break-glass"
)

// Database is the PostgreSQL database of the ledger.
type Database struct {
	// URL is a postgres:// URL; it may hold a password.
	URL URL `env:"STEVEDORE_DATABASE_URL" required:"worker,api,setup,migrate,keys,break-glass" doc:"PostgreSQL database of the ledger, as postgres://user:password@host:5432/name"`
}

// S3 is the object store.
type S3 struct {
	// Endpoint is host:port; UseTLS selects the scheme.
	Endpoint  string `env:"STEVEDORE_S3_ENDPOINT" required:"worker,setup" doc:"Address of the object store as host:port, without http://"`
	AccessKey string `env:"STEVEDORE_S3_ACCESS_KEY" required:"worker,setup" doc:"Access key of the object store"`
	SecretKey Secret `env:"STEVEDORE_S3_SECRET_KEY" required:"worker,setup" doc:"Secret key of the object store"`
	// Bucket receives the files of all servers. Default: stevedore.
	Bucket string `env:"STEVEDORE_S3_BUCKET" envDefault:"stevedore" doc:"Bucket that receives the files"`
	// Region is part of every request's signature. Default: us-east-1, which is also
	// MinIO's.
	Region string `env:"STEVEDORE_S3_REGION" envDefault:"us-east-1" doc:"Region of the bucket"`
	// UseTLS selects https. Default: true, so that keys and files are encrypted in
	// transit unless configured otherwise.
	UseTLS bool `env:"STEVEDORE_S3_USE_TLS" envDefault:"true" doc:"Whether to use TLS for the object store: true or false"`
}

// AMQP is the RabbitMQ broker for notifications of completed files.
type AMQP struct {
	// URL is an amqp:// or amqps:// URL; it may hold a password.
	URL URL `env:"STEVEDORE_AMQP_URL" required:"worker,setup" doc:"RabbitMQ broker, as amqp://user:password@host:5672/vhost or amqps://..."`
	// Queue is declared by setup only, as a quorum queue; workers do not create it.
	// Default: file_imports.
	Queue string `env:"STEVEDORE_AMQP_QUEUE" envDefault:"file_imports" doc:"Durable queue that setup declares"`
	// Exchange is empty by default: the broker's default exchange routes to queues by
	// name.
	Exchange string `env:"STEVEDORE_AMQP_EXCHANGE" doc:"Exchange for notifications; empty for the broker's default exchange"`
	// RoutingKey defaults to Queue, which the default exchange needs.
	RoutingKey string `env:"STEVEDORE_AMQP_ROUTING_KEY" doc:"Routing key of notifications; default: the name of the queue"`
}

// API is the REST API with the console.
type API struct {
	// Addr is host:port. Default: port 9000 on the loopback interface, so that nothing
	// is exposed unless configured.
	Addr string `env:"STEVEDORE_API_ADDR" envDefault:"127.0.0.1:9000" doc:"Address the API listens on, as host:port"`
	// Token has at least 32 characters where the API reads it, because it is an
	// admin's. The command line may send any token.
	Token Secret `env:"STEVEDORE_TOKEN" required:"api,cli" doc:"Bearer token. The API, and workers that serve metrics, accept it as the token of the admin \"bootstrap\" and need at least 32 characters. The command line sends it; there it may be the token of any user"`
	// TrustedProxies may set X-Forwarded-For; the header is ignored from others.
	// Default: none. Then all clients behind a proxy share its address, in the log and
	// in the limit of failed logins.
	TrustedProxies []netip.Prefix `env:"STEVEDORE_API_TRUSTED_PROXIES" doc:"Reverse proxies whose X-Forwarded-For is accepted, as CIDRs separated by commas"`
}

// Client holds addresses for the command line and for links in the console.
type Client struct {
	// URL is the API's address for the command line. Default: a local API.
	URL URL `env:"STEVEDORE_API_URL" envDefault:"http://127.0.0.1:9000" doc:"URL of the API, for the command line"`
	// TemporalUI is empty by default: then the console shows no links to workflows.
	TemporalUI URL `env:"STEVEDORE_TEMPORAL_UI_URL" doc:"URL of Temporal's Web UI, for links to workflows"`
	// S3Console is empty by default: then the console shows no links to objects.
	S3Console URL `env:"STEVEDORE_S3_CONSOLE_URL" doc:"URL of MinIO's console, for links to objects"`
}

// Staging is the folder for files between download and upload.
type Staging struct {
	// Dir must not be shared by two worker processes; a lock file enforces it. It should
	// be on a persistent local disk, so that a restarted worker resumes its downloads.
	Dir string `env:"STEVEDORE_STAGING_DIR" envDefault:"/var/lib/stevedore/staging" doc:"Staging folder; each worker needs its own"`
	// ReserveBytes stay free, so that staging never fills a disk that others use.
	// Default: 1 GiB.
	ReserveBytes int64 `env:"STEVEDORE_STAGING_RESERVE_BYTES" envDefault:"1073741824" doc:"Bytes of the staging volume to leave free"`
}

// Transfer holds the limits of transfer modes.
type Transfer struct {
	// MemoryLimit is the size up to which mode memory applies, in bytes. Default: 4 MiB.
	// Small files need no checkpoint, and staging would cost more than their transfer.
	// 0 disables the mode.
	MemoryLimit int64 `env:"STEVEDORE_TRANSFER_MEMORY_LIMIT" envDefault:"4194304" doc:"Largest file, in bytes, that is transferred in memory, without staging; 0 disables it"`
	// MemoryBudget bounds the memory for file contents in one worker, in bytes.
	// Transfers wait when it is used up. Default: 128 MiB.
	MemoryBudget int64 `env:"STEVEDORE_TRANSFER_MEMORY_BUDGET" envDefault:"134217728" doc:"Bytes of file contents that one worker holds in memory, over all memory and direct transfers"`
	// DirectAbove is the size above which transfer=auto selects mode direct, in bytes.
	// Default: 256 MiB. Larger files would need as much staging space.
	DirectAbove int64 `env:"STEVEDORE_TRANSFER_DIRECT_ABOVE" envDefault:"268435456" doc:"Size in bytes above which transfer=auto selects a direct transfer, without staging"`
	// ChecksumWait is counted from the time since when the file is unchanged. Default: 10m, because
	// partners often upload a file first and its checksum file later. 0s: no wait.
	ChecksumWait time.Duration `env:"STEVEDORE_TRANSFER_CHECKSUM_WAIT" envDefault:"10m" doc:"How long a checksum file that does not match, or a file or checksum file that may not be read, is read again before the file fails; 0s: not at all"`
}

// Credentials protects the credentials of SFTP servers in the ledger.
type Credentials struct {
	// KeysetFile holds the encryption keys. The file together with the database reveals
	// every credential.
	KeysetFile string `env:"STEVEDORE_KEYSET_FILE" required:"worker,api,setup,keys,break-glass" doc:"File with the keys that encrypt SFTP credentials; setup creates it"`
}

// Scan holds the defaults of servers without settings of their own.
type Scan struct {
	// Interval is the time between two scans of a server. Default: 1m.
	Interval time.Duration `env:"STEVEDORE_SCAN_INTERVAL" envDefault:"1m" doc:"Time between two scans of a server, e.g. 30s or 5m"`
	// Settle is the time without a change of size or mtime after which a file counts as
	// complete. Default: 10s. SFTP does not report whether a writer is still active.
	Settle time.Duration `env:"STEVEDORE_SETTLE" envDefault:"10s" doc:"Time a file must stay unchanged before it is ingested, e.g. 10s"`
}

// SFTP restricts the addresses of SFTP servers.
type SFTP struct {
	// AllowNetworks lists loopback, private and link-local networks that servers may be
	// in. Default: none, so that adding a server cannot reach internal services. Public
	// addresses are always allowed.
	AllowNetworks []netip.Prefix `env:"STEVEDORE_SFTP_ALLOW_NETWORKS" doc:"Loopback, private or link-local networks that SFTP servers may be in, as CIDRs separated by commas; public addresses are always allowed"`
}

// Worker sizes one worker process.
type Worker struct {
	// MaxDownloads is the concurrency limit of transfers from SFTP servers. Default: 8.
	MaxDownloads int `env:"STEVEDORE_WORKER_MAX_DOWNLOADS" envDefault:"8" doc:"Files one worker downloads concurrently"`
	// MaxUploads is separate from MaxDownloads, so that staged files are always drained.
	// Default: 4.
	MaxUploads int `env:"STEVEDORE_WORKER_MAX_UPLOADS" envDefault:"4" doc:"Files one worker verifies or uploads concurrently"`
	// StopTimeout should be shorter than the grace period of the supervisor (systemd,
	// Docker, Kubernetes), which kills the process afterwards. Default: 40s.
	StopTimeout time.Duration `env:"STEVEDORE_WORKER_STOP_TIMEOUT" envDefault:"40s" doc:"Time a stopping worker allows running steps to reach a checkpoint"`
	// HostTimeout is the schedule-to-start timeout of steps that need the staged bytes of
	// one worker. Default: 5m. It should exceed the time of a restart, because another
	// worker has to download the file again.
	HostTimeout time.Duration `env:"STEVEDORE_WORKER_HOST_TIMEOUT" envDefault:"5m" doc:"Time a file waits for the worker that holds its staged bytes before another one downloads it again"`
	// MetricsAddr is empty by default: then no port is opened.
	MetricsAddr string `env:"STEVEDORE_WORKER_METRICS_ADDR" doc:"Address a worker serves /metrics, /livez and /readyz on, as host:port, e.g. 127.0.0.1:9100; empty: not served"`
}

// Log configures the log.
type Log struct {
	// Level is the lowest level that is logged. Default: info.
	Level slog.Level `env:"STEVEDORE_LOG_LEVEL" envDefault:"info" doc:"Lowest level to log: debug, info, warn or error"`
	// Format is text for terminals, or json for log collectors. Default: text.
	Format string `env:"STEVEDORE_LOG_FORMAT" envDefault:"text" doc:"Format of the log: text or json"`
}
