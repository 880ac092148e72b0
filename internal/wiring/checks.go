package wiring

import (
	"context"

	"stevedore/internal/admin"
	"stevedore/internal/credentials"
	"stevedore/internal/store"
)

// checks asks about the object store and the broker only where this process
// knows how to reach them; only workers must.
func (p *Parts) checks() []admin.Check {
	engine := p.engine()
	checks := []admin.Check{
		{Part: admin.PartPostgres, Run: p.checkDatabase},
		{Part: admin.PartTemporal, Run: func(ctx context.Context) error { return engine.Health(ctx, p.namespace) }},
		{Part: admin.PartWorker, Run: engine.CheckWorker},
	}
	if p.cfg.Credentials.KeysetFile != "" {
		checks = append(checks, admin.Check{Part: admin.PartKeyset, Run: p.checkCanary})
	}
	if p.cfg.S3.Endpoint != "" {
		checks = append(checks, admin.Check{Part: admin.PartObjectStore, Run: p.checkObjects})
	}
	if p.cfg.AMQP.URL != "" {
		checks = append(checks, admin.Check{Part: admin.PartBroker, Run: p.checkBroker})
	}
	return checks
}

func (p *Parts) checkDatabase(ctx context.Context) error {
	db, err := p.store.get(ctx)
	if err != nil {
		return err
	}
	if err := db.Ping(ctx); err != nil {
		return err
	}
	return db.SchemaCurrent(ctx)
}

// checkCanary is checkKeyset without a look at every server: probes ask often.
func (p *Parts) checkCanary(ctx context.Context) error {
	keys, ledger, err := p.keysAndLedger(ctx)
	if err != nil {
		return err
	}
	return keys.Check(ctx, ledger)
}

func (p *Parts) keysAndLedger(ctx context.Context) (*credentials.Sealer, *store.Store, error) {
	keys, err := p.sealer.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	ledger, err := p.store.get(ctx)
	return keys, ledger, err
}

func (p *Parts) checkObjects(ctx context.Context) error {
	objects, err := p.objects.get(ctx)
	if err != nil {
		return err
	}
	return objects.Ping(ctx)
}

func (p *Parts) checkBroker(ctx context.Context) error {
	publisher, err := p.bus.get(ctx)
	if err != nil {
		return err
	}
	return publisher.Ping(ctx)
}
