// Package worker runs the process that does the work: it fits the adapters to
// the activities, registers workflows and activities, and polls the shared task
// queue and those of its own host.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"

	"stevedore/activities"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/telemetry"
	"stevedore/internal/transfer"
)

// noProgress ends a transfer in which no byte moves for this long.
const noProgress = 2 * time.Minute

// hostFresh is how long a host that says nothing counts as alive: it says so
// every activities.HostBeat, and the database may be away for a moment.
const hostFresh = 90 * time.Second

// Run connects to everything and works until ctx ends or a part fails for
// good. On the way out running steps get STEVEDORE_WORKER_STOP_TIMEOUT to reach
// a checkpoint. The version is told in metrics.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, version string) error {
	if err := cfg.Validate(config.ComponentWorker); err != nil {
		return err
	}
	cfg.Worker = fitDescriptors(ctx, cfg.Worker, descriptors(), log)
	metrics, err := telemetry.NewWorker(version)
	if err != nil {
		return err
	}
	temporal, err := orchestrator.DialMeasured(ctx, cfg, log, metrics.Temporal())
	if err != nil {
		return err
	}
	defer temporal.Close()
	wiring := Wiring{TaskQueue: ingest.TaskQueue, Metrics: metrics}
	if wiring.Scrapes, err = listen(ctx, cfg.Worker.MetricsAddr); err != nil {
		return err
	}
	return RunWith(ctx, cfg, temporal, log, wiring)
}

// Wiring says how RunWith is put together.
type Wiring struct {
	// TaskQueue is the shared queue; workers of one installation share it.
	TaskQueue string
	// BuildID names the program in histories; default a digest of it.
	BuildID string
	// Wrap, may be nil, puts something around the parts before they are used:
	// tests let them fail there.
	Wrap func(activities.Deps) activities.Deps
	// Metrics count what the worker does; default metrics that nobody reads.
	Metrics *telemetry.Worker
	// Scrapes, may be nil, is where metrics are asked for. RunWith closes it.
	Scrapes net.Listener
}

// RunWith is Run over a given Temporal client and wiring.
func RunWith(ctx context.Context, cfg config.Config, temporal client.Client, log *slog.Logger, wiring Wiring) (err error) {
	if wiring.Scrapes != nil {
		defer func() { _ = wiring.Scrapes.Close() }()
	}
	if wiring.Metrics == nil {
		if wiring.Metrics, err = telemetry.NewWorker(""); err != nil {
			return err
		}
	}
	w, err := openWorld(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer w.close()
	w.watch(wiring.Metrics)
	acts := w.activities(cfg, temporal, wiring.TaskQueue, log)
	acts.Deps = metered(acts.Deps, wiring.Metrics)
	if wiring.Wrap != nil {
		acts.Deps = wiring.Wrap(acts.Deps)
	}
	if err := acts.Debris.SeeHost(ctx, acts.Staging.HostID()); err != nil {
		return err
	}
	if wiring.Scrapes != nil {
		defer serveScrapes(ctx, wiring.Scrapes, scrapes(cfg, w, wiring.Metrics, log), log)()
	}
	beats, still := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { beat(beats, activities.HostBeat, acts.Debris, acts.Staging.HostID(), log) })
	defer beating.Wait()
	defer still()
	return poll(ctx, cfg, temporal, log, acts, wiring)
}

// poll registers everything and works until the context ends or a worker fails.
func poll(ctx context.Context, cfg config.Config, temporal client.Client, log *slog.Logger, acts *activities.Activities, wiring Wiring) error {
	log.InfoContext(ctx, "worker starts", "task_queue", wiring.TaskQueue, "host", acts.Staging.HostID())
	failed := make(chan error, workersPerHost)
	return work(ctx, failed, workers(cfg, temporal, acts, wiring.TaskQueue, sdkworker.Options{
		BuildID:           wiring.BuildID, //nolint:staticcheck // its successor needs a server that routes by deployments
		WorkerStopTimeout: cfg.Worker.StopTimeout,
		OnFatalError:      func(err error) { failed <- err },
		Interceptors: []interceptor.WorkerInterceptor{
			&steadyHeartbeats{temporal: temporal, log: log}, &measuredSteps{metrics: wiring.Metrics},
		},
	})...)
}

const (
	workersPerHost = 5
	// tidyingAtOnce is how many clean-ups run at a time; each takes moments.
	tidyingAtOnce = 4
	// workflowPollers is the number of pollers for workflow tasks; the SDK's default
	// is two. They serve starts that were not eager and tasks after the first.
	workflowPollers = 8
	// activitiesAtOnce bounds the activities of the shared queue: each server that
	// has files in flight keeps a dispatcher there.
	activitiesAtOnce = 4000
	// workflowsAtOnce bounds the workflow tasks and local activities under way. A pass
	// starts the scans of a thousand servers in a few seconds, each of which holds
	// both until its server is listed: files must find room beside them.
	workflowsAtOnce = 4000
)

// workers returns one worker for the shared queue, one for direct transfers and
// one for each kind of work on this host, each with a limit of its own: transfers
// in one direction take no slots from those in the other.
func workers(cfg config.Config, temporal client.Client, acts *activities.Activities, taskQueue string, options sdkworker.Options) []sdkworker.Worker {
	sharing := options
	sharing.MaxConcurrentWorkflowTaskPollers = workflowPollers
	sharing.MaxConcurrentActivityExecutionSize = activitiesAtOnce
	sharing.MaxConcurrentWorkflowTaskExecutionSize = workflowsAtOnce
	sharing.MaxConcurrentLocalActivityExecutionSize = workflowsAtOnce
	shared := sdkworker.New(temporal, taskQueue, sharing)
	registerShared(shared, acts)
	all := []sdkworker.Worker{shared}
	options.DisableWorkflowWorker = true
	host := ingest.HostQueue(acts.Staging.HostID())
	for _, kind := range []struct {
		queue    string
		atOnce   int
		register func(sdkworker.Registry, *activities.Activities)
	}{
		{ingest.TransferQueue(taskQueue), activities.TransfersAtOnce(cfg.Worker.MaxDownloads), registerTransfers},
		{host, activities.TransfersAtOnce(cfg.Worker.MaxDownloads), registerHost},
		{ingest.UploadQueue(host), cfg.Worker.MaxUploads, registerHost},
		{ingest.TidyQueue(host), tidyingAtOnce, registerHost},
	} {
		options.MaxConcurrentActivityExecutionSize = kind.atOnce
		w := sdkworker.New(temporal, kind.queue, options)
		kind.register(w, acts)
		all = append(all, w)
	}
	return all
}

// Activities returns the activities over the configured parts, without metrics;
// workflows that they start run on the task queue. The caller calls closeWorld
// when none of them runs any more.
func Activities(ctx context.Context, cfg config.Config, temporal client.Client, taskQueue string, log *slog.Logger) (_ *activities.Activities, closeWorld func(), err error) {
	w, err := openWorld(ctx, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	return w.activities(cfg, temporal, taskQueue, log), w.close, nil
}

// activities returns the activities over the adapters.
func (w *world) activities(cfg config.Config, temporal client.Client, taskQueue string, log *slog.Logger) *activities.Activities {
	return activities.New(activities.Deps{
		Direct: activities.DirectDeps{Transfers: w.store, Objects: w.objects, Copier: w.direct},
		Ledger: w.store, Catalog: w.store, Slots: w.store, Debris: w.store, Sources: sources{w.sftp}, Staging: w.staging,
		Memory: transfer.Memory{Budget: w.budget, ReadAhead: w.ahead}, Objects: w.objects, Announcer: w.bus,
		Workflows: orchestrator.Dispatcher{Temporal: temporal, TaskQueue: taskQueue, Limits: ingest.ModeLimits{
			Memory: cfg.Transfer.MemoryLimit, Direct: cfg.Transfer.DirectAbove,
		}},
		Audits: w.store, Auditor: auditor{cfg, log},
		Log: log, HostTimeout: cfg.Worker.HostTimeout, HostFresh: hostFresh, NoProgress: noProgress, MaxTransfers: cfg.Worker.MaxDownloads,
		ChecksumWait: cfg.Transfer.ChecksumWait,
	})
}

// work runs the workers until the context ends or one fails. They are stopped
// side by side: one after another, the second would get no time to checkpoint.
func work(ctx context.Context, failed <-chan error, workers ...sdkworker.Worker) (err error) {
	var started []sdkworker.Worker
	for _, w := range workers {
		if err = w.Start(); err != nil {
			err = fmt.Errorf("start the Temporal worker: %w", err)
			break
		}
		started = append(started, w)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
			err = fmt.Errorf("the Temporal worker failed: %w", err)
		}
	}
	var stopping sync.WaitGroup
	for _, w := range started {
		stopping.Go(w.Stop)
	}
	stopping.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
