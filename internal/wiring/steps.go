package wiring

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/store"
)

// steps returns the steps of Setup, in their order.
func (p *Parts) steps() []SetupStep {
	temporal := p.orchestrator()
	return []SetupStep{
		{Name: StepDatabase, Run: p.migrate},
		{Name: "keyset", Needs: StepDatabase, Run: p.ensureKeyset},
		{Name: "bucket", Run: p.ensureBucket},
		{Name: "broker", Run: p.ensureTopology},
		{Name: "search attributes", Run: func(ctx context.Context) (string, error) {
			return temporal.EnsureSearchAttributes(ctx, p.namespace)
		}},
		{Name: "schedule", Needs: "search attributes", Run: func(ctx context.Context) (string, error) {
			scanning, err := temporal.EnsureSchedule(ctx, orchestrator.Scanning(p.cfg.Scan.Interval))
			if err != nil {
				return "", err
			}
			reconciling, err := temporal.EnsureSchedule(ctx, orchestrator.Reconciling())
			return scanning + "; " + reconciling, err
		}},
	}
}

func (p *Parts) migrate(ctx context.Context) (string, error) {
	if err := p.store.Ping(ctx); err != nil {
		return "", err
	}
	// The error is ignored: it is returned again by the migration if that cannot fix it.
	if p.store.SchemaCurrent(ctx) == nil {
		return "already there: the schema is current", nil
	}
	if err := store.Migrate(ctx, p.cfg.Database.URL.Reveal()); err != nil {
		return "", err
	}
	return "migrated to the current schema", p.store.SchemaCurrent(ctx)
}

func (p *Parts) ensureKeyset(ctx context.Context) (string, error) {
	path := p.cfg.Credentials.KeysetFile
	if path == "" {
		return "", errNoKeyset
	}
	done := "already there: " + path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := generate(ctx, path, p.store); err != nil {
			return "", err
		}
		done = "created " + path + ": back it up; without it stored credentials cannot be decrypted"
	}
	return done, p.CheckKeyset(ctx)
}

// generate creates the first keyset of an installation. It refuses to create another one,
// which could not decrypt the stored credentials.
func generate(ctx context.Context, path string, canaries credentials.Canaries) error {
	kept, err := canaries.KeysetCanary(ctx)
	if err != nil {
		return err
	}
	if kept != nil {
		return ingest.Errorf(ingest.KindMissing,
			"keyset file %s does not exist, but this database has one: restore it from your backup, or from a host that has it", path)
	}
	err = credentials.Generate(path)
	if errors.Is(err, fs.ErrExist) {
		return nil // created by a concurrent setup
	}
	return err
}

// CheckKeyset returns an error of KindInvalid if the keyset does not match the ledger. It logs
// servers whose credentials alone cannot be decrypted.
func (p *Parts) CheckKeyset(ctx context.Context) error {
	keys, err := p.sealer.get(ctx)
	if err != nil {
		return err
	}
	damaged, err := keys.Fits(ctx, p.store)
	for _, problem := range damaged {
		p.log.ErrorContext(ctx, "a server cannot be used", "error", problem)
	}
	return err
}

func (p *Parts) ensureBucket(ctx context.Context) (string, error) {
	objects, err := p.objects.get(ctx)
	if err != nil {
		return "", err
	}
	if objects.Ping(ctx) == nil {
		return "already there: " + objects.Bucket(), nil
	}
	return "created " + objects.Bucket(), objects.EnsureBucket(ctx)
}

func (p *Parts) ensureTopology(ctx context.Context) (string, error) {
	publisher, err := p.bus.get(ctx)
	if err != nil {
		return "", err
	}
	done := "declared queue " + p.cfg.AMQP.Queue
	if publisher.Ping(ctx) == nil {
		done = "already there: queue " + p.cfg.AMQP.Queue
	}
	// Declare in any case, because Ping does not check the binding to the exchange.
	return done, publisher.EnsureTopology(ctx)
}
