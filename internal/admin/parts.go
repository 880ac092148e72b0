package admin

import (
	"context"
	"errors"
	"io/fs"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/vault"
)

// The names of parts in readiness answers.
const (
	PartPostgres    = "postgres"
	PartTemporal    = "temporal"
	PartWorker      = "worker"
	PartObjectStore = "object_store"
	PartBroker      = "broker"
)

// checks asks about the object store and the broker only where this process
// knows how to reach them; only workers must.
func (p *parts) checks() []Check {
	engine := p.engine()
	checks := []Check{
		{PartPostgres, p.checkDatabase},
		{PartTemporal, func(ctx context.Context) error { return engine.Health(ctx, p.namespace) }},
		{PartWorker, engine.checkWorker},
	}
	if p.cfg.S3.Endpoint != "" {
		checks = append(checks, Check{PartObjectStore, p.checkObjects})
	}
	if p.cfg.AMQP.URL != "" {
		checks = append(checks, Check{PartBroker, p.checkBroker})
	}
	return checks
}

func (p *parts) checkDatabase(ctx context.Context) error {
	db, err := p.store.get(ctx)
	if err != nil {
		return err
	}
	if err := db.Ping(ctx); err != nil {
		return err
	}
	return db.SchemaCurrent(ctx)
}

func (p *parts) checkObjects(ctx context.Context) error {
	objects, err := p.objects.get(ctx)
	if err != nil {
		return err
	}
	return objects.Ping(ctx)
}

func (p *parts) checkBroker(ctx context.Context) error {
	publisher, err := p.bus.get(ctx)
	if err != nil {
		return err
	}
	return publisher.Ping(ctx)
}

func (e TemporalEngine) checkWorker(ctx context.Context) error {
	polled, err := e.Polled(ctx, e.queue())
	if err != nil {
		return err
	}
	if !polled {
		return ingest.Errorf(ingest.KindTransient, "no worker polls task queue %q: start one with `stevedore worker`", e.queue())
	}
	return nil
}

// steps are what Setup does.
func (p *parts) steps() []Step {
	engine := p.engine()
	return []Step{
		{Name: StepDatabase, Run: p.migrate},
		{Name: "keyset", Needs: StepDatabase, Run: p.ensureKeyset},
		{Name: "bucket", Run: p.ensureBucket},
		{Name: "broker", Run: p.ensureTopology},
		{Name: "search attributes", Run: func(ctx context.Context) (string, error) {
			return engine.EnsureSearchAttributes(ctx, p.namespace)
		}},
		{Name: "schedule", Needs: "search attributes", Run: func(ctx context.Context) (string, error) {
			scanning, err := engine.EnsureSchedule(ctx, Scanning(p.cfg.Scan.Interval))
			if err != nil {
				return "", err
			}
			reconciling, err := engine.EnsureSchedule(ctx, Reconciling())
			return scanning + "; " + reconciling, err
		}},
	}
}

func (p *parts) migrate(ctx context.Context) (string, error) {
	db, err := p.store.get(ctx)
	if err != nil {
		return "", err
	}
	// A database without our tables says so; anything else comes up again below.
	if db.SchemaCurrent(ctx) == nil {
		return "already there: the schema is current", nil
	}
	if err := store.Migrate(ctx, p.cfg.Database.URL.Reveal()); err != nil {
		return "", err
	}
	return "migrated to the current schema", db.SchemaCurrent(ctx)
}

func (p *parts) ensureKeyset(ctx context.Context) (string, error) {
	path := p.cfg.Vault.KeysetFile
	if path == "" {
		return "", errNoKeyset
	}
	done := "made " + path + ": back it up, without it no stored credential can be read"
	err := vault.Generate(path)
	if errors.Is(err, fs.ErrExist) {
		done, err = "already there: "+path, nil
	}
	if err != nil {
		return "", err
	}
	keys, err := p.vault.get(ctx)
	if err != nil {
		return "", err
	}
	ledger, err := p.store.get(ctx)
	if err != nil {
		return "", err
	}
	return done, keys.Fits(ctx, ledger)
}

func (p *parts) ensureBucket(ctx context.Context) (string, error) {
	objects, err := p.objects.get(ctx)
	if err != nil {
		return "", err
	}
	if objects.Ping(ctx) == nil {
		return "already there: " + objects.Bucket(), nil
	}
	return "created " + objects.Bucket(), objects.EnsureBucket(ctx)
}

func (p *parts) ensureTopology(ctx context.Context) (string, error) {
	publisher, err := p.bus.get(ctx)
	if err != nil {
		return "", err
	}
	done := "declared queue " + p.cfg.AMQP.Queue
	if publisher.Ping(ctx) == nil {
		done = "already there: queue " + p.cfg.AMQP.Queue
	}
	// Ping does not see the binding to an exchange, so declare all the same.
	return done, publisher.EnsureTopology(ctx)
}
