package admin

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"stevedore/internal/bus"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/oracle"
	"stevedore/internal/sftp"
	"stevedore/internal/store"
	"stevedore/internal/temporalclient"
	"stevedore/internal/vault"
)

// apiStatements bounds a statement of the API: its handlers have no longer.
const apiStatements = 25 * time.Second

// fewConns suits processes that serve people.
const fewConns = 4

// Open returns an Admin on the parts that the configuration names. Nothing is
// connected before it is needed, so Open itself cannot fail.
func Open(cfg config.Config, log *slog.Logger) *Admin { return OpenOn(cfg, log, ingest.TaskQueue) }

// OpenMeasured is Open for a process that counts its calls of Temporal with
// metrics.
func OpenMeasured(cfg config.Config, log *slog.Logger, metrics client.MetricsHandler) *Admin {
	p := newParts(cfg, log)
	p.taskQueue, p.statements = ingest.TaskQueue, apiStatements
	p.temporal = newLazy(func(ctx context.Context) (client.Client, error) {
		return temporalclient.DialMeasured(ctx, cfg, log, metrics)
	})
	return p.admin()
}

// OpenOn is Open for workers on another task queue.
func OpenOn(cfg config.Config, log *slog.Logger, taskQueue string) *Admin {
	p := newParts(cfg, log)
	p.taskQueue = taskQueue
	return p.admin()
}

func (p *parts) admin() *Admin {
	a := New(Deps{
		Ledger:   func(ctx context.Context) (Ledger, error) { return p.store.get(ctx) },
		Sealer:   func(ctx context.Context) (Sealer, error) { return p.vault.get(ctx) },
		Keys:     func(ctx context.Context) (Keyring, error) { return p.vault.get(ctx) },
		Prober:   func(context.Context) (Prober, error) { return prober{p}, nil },
		Engine:   p.engine(),
		Record:   func(ctx context.Context) (oracle.Ledger, error) { return p.store.get(ctx) },
		Objects:  func(ctx context.Context) (oracle.Objects, error) { return p.objects.get(ctx) },
		Lister:   p.lister,
		Checks:   p.checks(),
		Steps:    p.steps(),
		Defaults: ingest.ServerDefaults{Settle: p.cfg.Scan.Settle, ScanInterval: p.cfg.Scan.Interval},
		NewUUID:  uuid.NewString,
	})
	a.close, a.pool, a.keyset = p.close, p.pool, p.checkKeyset
	return a
}

// parts are the adapters, each opened when it is first needed.
type parts struct {
	cfg      config.Config
	log      *slog.Logger
	store    *lazy[*store.Store]
	vault    *lazy[*vault.Vault]
	objects  *lazy[*objstore.Store]
	bus      *lazy[*bus.Publisher]
	temporal *lazy[client.Client]
	// namespace is Temporal's, that of the client; taskQueue is the workers'.
	namespace, taskQueue string
	// statements bounds each statement; 0 for audits and set-up, which take long.
	statements time.Duration
}

func newParts(cfg config.Config, log *slog.Logger) *parts {
	p := &parts{
		cfg: cfg, log: log,
		vault: newLazy(func(context.Context) (*vault.Vault, error) {
			if cfg.Vault.KeysetFile == "" {
				return nil, errNoKeyset
			}
			return vault.Open(cfg.Vault.KeysetFile)
		}),
		objects: newLazy(func(context.Context) (*objstore.Store, error) {
			return objstore.New(objstore.Config{
				Endpoint: cfg.S3.Endpoint, AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey.Reveal(),
				Bucket: cfg.S3.Bucket, Region: cfg.S3.Region, UseTLS: cfg.S3.UseTLS,
			})
		}),
		bus: newLazy(func(context.Context) (*bus.Publisher, error) {
			return bus.New(bus.Config{
				URL: cfg.AMQP.URL.Reveal(), Exchange: cfg.AMQP.Exchange, RoutingKey: cfg.AMQP.RoutingKey, Queue: cfg.AMQP.Queue,
			})
		}),
		namespace: temporalclient.Namespace(cfg),
		temporal:  newLazy(func(ctx context.Context) (client.Client, error) { return temporalclient.Dial(ctx, cfg, log) }),
	}
	p.store = newLazy(func(ctx context.Context) (*store.Store, error) {
		return store.New(ctx, store.Config{DatabaseURL: cfg.Database.URL.Reveal(), MaxConns: fewConns, StatementTimeout: p.statements})
	})
	return p
}

var errNoKeyset = ingest.Errorf(ingest.KindInvalid,
	"STEVEDORE_KEYSET_FILE is not set: name the file with the keys that encrypt SFTP credentials; `stevedore setup` makes it")

// pool is how the connections to the database stand, if there are any yet.
func (p *parts) pool() (store.PoolStats, bool) {
	db, ok := p.store.peek()
	if !ok {
		return store.PoolStats{}, false
	}
	return db.PoolStats(), true
}

func (p *parts) engine() TemporalEngine {
	return TemporalEngine{Connect: p.temporal.get, TaskQueue: p.taskQueue}
}

func (p *parts) close() {
	p.temporal.close(client.Client.Close)
	p.bus.close(func(b *bus.Publisher) { _ = b.Close() })
	p.objects.close((*objstore.Store).Close)
	p.store.close((*store.Store).Close)
}

// prober opens the vault only when a server is tested.
type prober struct{ p *parts }

// Probe implements Prober with a connection of its own, so that a test never
// finds a connection that worked earlier.
func (t prober) Probe(ctx context.Context, server ingest.Server, sample bool) (Probed, error) {
	cfg, secrets, err := t.p.sftp(ctx)
	if err != nil {
		return Probed{}, err
	}
	pool := sftp.NewPool(cfg, secrets)
	defer func() { _ = pool.Close() }()
	r, err := pool.ProbeWith(ctx, server, sample)
	return Probed{
		Fingerprint: r.Fingerprint, KeyLine: r.HostKeyLine, Software: r.ServerVersion, Entries: r.Entries, Latency: r.Latency,
		ProbeDetails: r.ProbeDetails,
	}, err
}

// lister opens the vault at once: without it no server could be listed, which
// is not the servers' fault.
func (p *parts) lister(ctx context.Context) (Lister, error) {
	cfg, secrets, err := p.sftp(ctx)
	return lister{cfg, secrets}, err
}

// personsWait is how long a person's test or listing waits for a connection to become
// free on a server that bears few.
const personsWait = 10 * time.Second

// sftp returns how workers connect to servers, and the credentials.
func (p *parts) sftp(ctx context.Context) (sftp.Config, sftp.Secrets, error) {
	db, err := p.store.get(ctx)
	if err != nil {
		return sftp.Config{}, nil, err
	}
	secrets, err := p.vault.get(ctx)
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
