package wiring

import (
	"context"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
)

// checks returns the checks of readiness. Object store and broker are checked only if
// they are configured: only workers need them.
func (p *Parts) checks() []operations.Check {
	temporal := p.orchestrator()
	checks := []operations.Check{
		{Part: operations.PartPostgres, Run: p.checkDatabase},
		{Part: operations.PartTemporal, Run: func(ctx context.Context) error { return temporal.Health(ctx, p.namespace) }},
		{Part: operations.PartWorker, Run: p.checkWorker},
	}
	if p.cfg.Credentials.KeysetFile != "" {
		checks = append(checks, operations.Check{Part: operations.PartKeyset, Run: p.checkCanary})
	}
	if p.cfg.S3.Endpoint != "" {
		checks = append(checks, operations.Check{Part: operations.PartObjectStore, Run: ping(p.objects)})
	}
	if p.cfg.AMQP.URL != "" {
		checks = append(checks, operations.Check{Part: operations.PartBroker, Run: ping(p.bus)})
	}
	return checks
}

// workerFresh is the age at which the last heartbeat of all workers means that none runs. It
// exceeds two activities.HostHeartbeatInterval, and is below the 30 s within which a dead worker
// is reported. Temporal lists the pollers of a dead worker for 5 minutes.
const workerFresh = 25 * time.Second

func (p *Parts) checkWorker(ctx context.Context) error {
	hosts, err := p.store.Hosts(ctx, workerFresh)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return ingest.Wrap(ingest.KindTransient, orchestrator.ErrNoWorker, "no worker: start one with `stevedore worker`")
	}
	return p.orchestrator().CheckWorker(ctx)
}

func (p *Parts) checkDatabase(ctx context.Context) error {
	if err := p.store.Ping(ctx); err != nil {
		return err
	}
	return p.store.SchemaCurrent(ctx)
}

// checkCanary is CheckKeyset without the credentials of every server: readiness probes
// are frequent.
func (p *Parts) checkCanary(ctx context.Context) error {
	keys, err := p.sealer.get(ctx)
	if err != nil {
		return err
	}
	return keys.Check(ctx, p.store)
}

// ping returns the check of a part that is opened on first use.
func ping[T interface {
	Ping(ctx context.Context) error
}](part *lazy[T]) func(context.Context) error {
	return func(ctx context.Context) error {
		opened, err := part.get(ctx)
		if err != nil {
			return err
		}
		return opened.Ping(ctx)
	}
}
