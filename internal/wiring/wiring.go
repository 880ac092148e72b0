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
)

// fewConns suits processes that serve people.
const fewConns = 4

// Options differ between processes. The zero value is right for commands.
type Options struct {
	// TaskQueue is the workers' shared queue; default ingest.TaskQueue.
	TaskQueue string
	// StatementTimeout bounds each statement; default none, for audits and set-up.
	StatementTimeout time.Duration
	// Metrics, may be nil, counts calls of Temporal.
	Metrics client.MetricsHandler
}

// New returns the parts that the configuration names. Each is opened when it is first
// needed, so that New cannot fail and a part that is down affects only its users.
func New(cfg config.Config, log *slog.Logger, options Options) *Parts {
	p := newParts(cfg, log)
	p.taskQueue, p.statements = cmp.Or(options.TaskQueue, ingest.TaskQueue), options.StatementTimeout
	p.temporal = newLazy(func(ctx context.Context) (client.Client, error) {
		return orchestrator.DialMeasured(ctx, cfg, log, options.Metrics)
	})
	return p
}

// Operations returns the operator's operations on the parts.
func (p *Parts) Operations() *operations.Service {
	return operations.New(operations.Deps{
		Ledger:       func(ctx context.Context) (operations.Ledger, error) { return p.store.get(ctx) },
		Sealer:       func(ctx context.Context) (operations.Sealer, error) { return p.sealer.get(ctx) },
		Keyring:      func(ctx context.Context) (operations.Keyring, error) { return p.sealer.get(ctx) },
		Prober:       func(context.Context) (operations.Prober, error) { return prober{p}, nil },
		Orchestrator: p.orchestrator(),
		AuditLedger:  func(ctx context.Context) (audit.Ledger, error) { return p.store.get(ctx) },
		Objects:      func(ctx context.Context) (audit.Objects, error) { return p.objects.get(ctx) },
		Lister:       p.lister,
		Checks:       p.checks(),
		Defaults:     ingest.ServerDefaults{Settle: p.cfg.Scan.Settle, ScanInterval: p.cfg.Scan.Interval},
		NewUUID:      uuid.NewString,
	})
}

// Access returns tokens, sessions and the audit log on the parts.
func (p *Parts) Access() *access.Service {
	return access.New(func(ctx context.Context) (access.Ledger, error) { return p.store.get(ctx) })
}

// Parts are the adapters, each opened when it is first needed.
type Parts struct {
	cfg      config.Config
	log      *slog.Logger
	store    *lazy[*store.Store]
	sealer   *lazy[*credentials.Sealer]
	objects  *lazy[*objstore.Store]
	bus      *lazy[*amqp.Publisher]
	temporal *lazy[client.Client]
	// namespace is Temporal's, that of the client; taskQueue is the workers'.
	namespace, taskQueue string
	// statements bounds each statement; 0 for audits and set-up, which take long.
	statements time.Duration
}

func newParts(cfg config.Config, log *slog.Logger) *Parts {
	p := &Parts{
		cfg: cfg, log: log,
		sealer: newLazy(func(context.Context) (*credentials.Sealer, error) {
			if cfg.Credentials.KeysetFile == "" {
				return nil, errNoKeyset
			}
			return credentials.Open(cfg.Credentials.KeysetFile)
		}),
		objects: newLazy(func(context.Context) (*objstore.Store, error) {
			return objstore.New(objstore.Config{
				Endpoint: cfg.S3.Endpoint, AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey.Reveal(),
				Bucket: cfg.S3.Bucket, Region: cfg.S3.Region, UseTLS: cfg.S3.UseTLS,
			})
		}),
		bus: newLazy(func(context.Context) (*amqp.Publisher, error) {
			return amqp.New(amqp.Config{
				URL: cfg.AMQP.URL.Reveal(), Exchange: cfg.AMQP.Exchange, RoutingKey: cfg.AMQP.RoutingKey, Queue: cfg.AMQP.Queue,
			})
		}),
		namespace: orchestrator.Namespace(cfg),
		temporal:  newLazy(func(ctx context.Context) (client.Client, error) { return orchestrator.Dial(ctx, cfg, log) }),
	}
	p.store = newLazy(func(ctx context.Context) (*store.Store, error) {
		return store.New(ctx, store.Config{DatabaseURL: cfg.Database.URL.Reveal(), MaxConns: fewConns, StatementTimeout: p.statements})
	})
	return p
}

var errNoKeyset = ingest.Errorf(ingest.KindInvalid,
	"STEVEDORE_KEYSET_FILE is not set: name the file with the keys that encrypt SFTP credentials; `stevedore setup` makes it")

// Pool returns the state of the connections to the database; false while there are none.
func (p *Parts) Pool() (store.PoolStats, bool) {
	db, ok := p.store.peek()
	if !ok {
		return store.PoolStats{}, false
	}
	return db.PoolStats(), true
}

func (p *Parts) orchestrator() orchestrator.Client {
	return orchestrator.Client{Connect: p.temporal.get, TaskQueue: p.taskQueue}
}

// Close closes the parts that were opened.
func (p *Parts) Close() {
	p.temporal.close(client.Client.Close)
	p.bus.close(func(b *amqp.Publisher) { _ = b.Close() })
	p.objects.close((*objstore.Store).Close)
	p.store.close((*store.Store).Close)
}

// prober opens the keyset only when a server is tested.
type prober struct{ p *Parts }

// Probe implements Prober with a connection of its own, so that a test never
// finds a connection that worked earlier.
func (t prober) Probe(ctx context.Context, server ingest.Server, sample bool) (operations.ProbeResult, error) {
	cfg, secrets, err := t.p.sftp(ctx)
	if err != nil {
		return operations.ProbeResult{}, err
	}
	return probe(ctx, cfg, secrets, server, sample)
}

// ProbeDraft implements Prober. The log-ins are bounded by account, because the ledger has no row
// for the server.
func (t prober) ProbeDraft(ctx context.Context, server ingest.Server, sample bool) (operations.ProbeResult, error) {
	cfg, secrets, err := t.p.sftp(ctx)
	if err != nil {
		return operations.ProbeResult{}, err
	}
	db, err := t.p.store.get(ctx)
	if err != nil {
		return operations.ProbeResult{}, err
	}
	drafts := store.DraftLogins{Store: db, DraftUUID: server.UUID}
	cfg.Passwords, cfg.Connections = drafts, drafts
	return probe(ctx, cfg, secrets, server, sample)
}

func probe(ctx context.Context, cfg sftp.Config, secrets sftp.Secrets, server ingest.Server, sample bool) (operations.ProbeResult, error) {
	pool := sftp.NewPool(cfg, secrets)
	defer func() { _ = pool.Close() }()
	r, err := pool.ProbeWith(ctx, server, sample)
	return operations.ProbeResult{
		Fingerprint: r.Fingerprint, KeyLine: r.HostKeyLine, Software: r.ServerVersion, Entries: r.Entries, Latency: r.Latency,
		ProbeDetails: r.ProbeDetails,
	}, err
}

// lister opens the keyset at once: without it no server could be listed, which
// is not the servers' fault.
func (p *Parts) lister(ctx context.Context) (operations.Lister, error) {
	cfg, secrets, err := p.sftp(ctx)
	return lister{cfg, secrets}, err
}

// personsWait is how long a person's test or listing waits for a connection to become
// free on a server that bears few.
const personsWait = 10 * time.Second

// sftp returns how workers connect to servers, and the credentials.
func (p *Parts) sftp(ctx context.Context) (sftp.Config, sftp.Secrets, error) {
	db, err := p.store.get(ctx)
	if err != nil {
		return sftp.Config{}, nil, err
	}
	secrets, err := p.sealer.get(ctx)
	return sftp.Config{
		AllowNetworks: p.cfg.SFTP.AllowNetworks, Passwords: db, Connections: db, Directory: db, Log: p.log, ConnectionWait: personsWait,
	}, secrets, err
}

type lister struct {
	// cfg is that of workers, so that an audit sees what a scan would see.
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
