package wiring

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"stevedore/internal/access"
	"stevedore/internal/amqp"
	"stevedore/internal/audit"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/sftp"
	"stevedore/internal/store"
	"stevedore/internal/temporalnames"
)

// maxConns bounds the database connections of a process. Workers have their own limit.
const maxConns = 4

// Options are the settings that differ between processes. The zero value is for commands.
type Options struct {
	// TaskQueue is the workers' shared queue; default temporalnames.TaskQueue.
	TaskQueue string
	// StatementTimeout bounds each database statement; 0 means no bound, for audits and
	// setup.
	StatementTimeout time.Duration
	// Metrics, which may be nil, receives the metrics of the Temporal client.
	Metrics client.MetricsHandler
}

// Operations returns the operator actions on the parts.
func (p *Parts) Operations() *operations.Service {
	return operations.New(operations.Deps{
		Ledger:       p.store,
		Log:          p.log,
		Keyring:      func(ctx context.Context) (operations.Keyring, error) { return p.sealer.get(ctx) },
		Prober:       prober{p},
		Orchestrator: p.orchestrator(),
		AuditLedger:  p.store,
		Objects:      func(ctx context.Context) (audit.Objects, error) { return p.objects.get(ctx) },
		Lister:       p.lister,
		Checks:       p.checks(),
		Defaults:     ingest.ServerDefaults{Settle: p.cfg.Scan.Settle, ScanInterval: p.cfg.Scan.Interval},
		NewUUID:      uuid.NewString,
	})
}

// Access returns tokens, sessions and the audit log on the parts.
func (p *Parts) Access() *access.Service {
	return access.New(p.store, p.log)
}

// Parts are the adapters, each opened on first use. It is safe for concurrent use.
type Parts struct {
	cfg      config.Config
	log      *slog.Logger
	store    *store.Store
	sealer   *lazy[*credentials.Sealer]
	objects  *lazy[*objstore.Store]
	bus      *lazy[*amqp.Publisher]
	temporal *lazy[client.Client]
	// namespace is the Temporal client's, taskQueue the workers' shared queue.
	namespace, taskQueue string
}

// New returns the parts that the configuration names. Each connects when it is first
// needed, so that a part that is down affects only its users. The only errors are
// settings of the database that cannot be parsed.
func New(cfg config.Config, log *slog.Logger, options Options) (*Parts, error) {
	ledger, err := store.Open(context.Background(), store.Config{
		DatabaseURL: cfg.Database.URL.Reveal(), MaxConns: maxConns, StatementTimeout: options.StatementTimeout,
	})
	return &Parts{
		cfg: cfg, log: log, store: ledger,
		sealer: newLazy(func(context.Context) (*credentials.Sealer, error) {
			if cfg.Credentials.KeysetFile == "" {
				return nil, errNoKeyset
			}
			return credentials.Open(cfg.Credentials.KeysetFile)
		}),
		objects: newLazy(func(context.Context) (*objstore.Store, error) {
			return objstore.New(ObjectStoreConfig(cfg))
		}),
		bus: newLazy(func(context.Context) (*amqp.Publisher, error) {
			return amqp.New(BrokerConfig(cfg))
		}),
		temporal: newLazy(func(ctx context.Context) (client.Client, error) {
			return orchestrator.Dial(ctx, cfg, log, options.Metrics)
		}),
		namespace: orchestrator.Namespace(cfg), taskQueue: cmp.Or(options.TaskQueue, temporalnames.TaskQueue),
	}, err
}

var errNoKeyset = ingest.Errorf(ingest.KindInvalid,
	"STEVEDORE_KEYSET_FILE is not set: set it to the file with the keys that encrypt SFTP credentials; `stevedore setup` creates it")

// Pool returns the state of the connections to the database.
func (p *Parts) Pool() store.PoolStats { return p.store.PoolStats() }

func (p *Parts) orchestrator() orchestrator.Client {
	return orchestrator.Client{Connect: p.temporal.get, TaskQueue: p.taskQueue}
}

// Close closes the parts that were opened.
func (p *Parts) Close() {
	p.temporal.close(client.Client.Close)
	p.bus.close(func(b *amqp.Publisher) { _ = b.Close() })
	p.objects.close((*objstore.Store).Close)
	p.store.Close()
}

// prober tests servers. It opens the keyset on the first test.
type prober struct{ p *Parts }

// Probe implements Prober. It always opens a new connection: a pooled one would not show
// that logins fail.
func (t prober) Probe(ctx context.Context, server ingest.Server, sample bool) (operations.ProbeResult, error) {
	cfg, secrets, err := t.p.sftp(ctx)
	if err != nil {
		return operations.ProbeResult{}, err
	}
	return probe(ctx, cfg, secrets, server, sample)
}

// ProbeDraft implements Prober. The logins are bounded by account, because the ledger has no row
// for the server, except those with the stored password of a saved server.
func (t prober) ProbeDraft(ctx context.Context, draft operations.Draft, sample bool) (operations.ProbeResult, error) {
	cfg, secrets, err := t.p.sftp(ctx)
	if err != nil {
		return operations.ProbeResult{}, err
	}
	logins := store.DraftLogins{Store: t.p.store}
	cfg.DraftUUID, cfg.DraftPasswords = draft.UUID, logins
	if draft.KeepsPassword {
		cfg.DraftPasswords = store.EditLogins{DraftLogins: logins, Saved: *draft.Saved}
	}
	if draft.Saved == nil || draft.Saved.Host != draft.Host || draft.Saved.Port != draft.Port {
		cfg.Connections = nil // the ledger counts none of another server's; the connection is short
	}
	return probe(ctx, cfg, secrets, draft.Server, sample)
}

func probe(ctx context.Context, cfg sftp.Config, secrets sftp.Secrets, server ingest.Server, sample bool) (operations.ProbeResult, error) {
	pool := sftp.NewPool(cfg, secrets)
	defer func() { _ = pool.Close() }()
	return pool.ProbeWith(ctx, server, sample)
}

// lister returns a lister. It opens the keyset immediately, so that a missing keyset is
// not reported as an error of each server.
func (p *Parts) lister(ctx context.Context) (operations.Lister, error) {
	cfg, secrets, err := p.sftp(ctx)
	return lister{cfg, secrets}, err
}

// connectionWait bounds the wait of a test or audit for a free connection to a server
// with a connection limit. Workers close idle connections within 10 s of learning of a limit,
// and those of a killed worker expire after ingest.ConnectionExpiry.
const connectionWait = ingest.ConnectionExpiry + 5*time.Second

// sftp returns the workers' configuration of connections, and the credentials.
func (p *Parts) sftp(ctx context.Context) (sftp.Config, sftp.Secrets, error) {
	secrets, err := p.sealer.get(ctx)
	cfg := SFTPConfig(p.cfg, p.store, p.log)
	cfg.ConnectionWait = connectionWait
	return cfg, secrets, err
}

// lister lists servers for audits.
type lister struct {
	// cfg is the workers' configuration, so that audits and scans see the same entries.
	cfg     sftp.Config
	secrets sftp.Secrets
}

// List implements Lister.
func (l lister) List(ctx context.Context, server ingest.Server, fn func(ingest.Observation) error) (ingest.Unread, error) {
	pool := sftp.NewPool(l.cfg, l.secrets)
	defer func() { _ = pool.Close() }()
	session, err := pool.Open(ctx, server)
	if err != nil {
		return ingest.Unread{}, err
	}
	defer func() { _ = session.Close() }()
	return session.List(ctx, ingest.ListRequest{}, fn)
}
