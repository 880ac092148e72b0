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
	"stevedore/internal/temporalnames"
	"stevedore/internal/transfer"
)

// stallTimeout is the timeout of a transfer in which no byte moves.
const stallTimeout = 2 * time.Minute

// hostFresh is the age at which a host's last heartbeat no longer counts as alive.
// It allows for several lost ones of activities.HostHeartbeatInterval, because the database may
// be down for a moment.
const hostFresh = 90 * time.Second

// Run runs a worker until ctx ends or a part fails permanently. On shutdown,
// running steps get STEVEDORE_WORKER_STOP_TIMEOUT to reach a checkpoint. The
// version becomes a label of the metric stevedore_build_info.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, version string) error {
	if err := cfg.Validate(config.ComponentWorker); err != nil {
		return err
	}
	cfg.Worker = fitDescriptors(ctx, cfg.Worker, descriptorLimit(), log)
	metrics, err := telemetry.NewWorker(version)
	if err != nil {
		return err
	}
	temporal, err := orchestrator.Dial(ctx, cfg, log, metrics.Temporal())
	if err != nil {
		return err
	}
	defer temporal.Close()
	options := Options{TaskQueue: temporalnames.TaskQueue, Metrics: metrics}
	if options.Scrapes, err = listen(ctx, cfg.Worker.MetricsAddr); err != nil {
		return err
	}
	return RunWith(ctx, cfg, temporal, log, options)
}

// Options holds the parts of a worker that the configuration does not set.
type Options struct {
	// TaskQueue is the shared task queue of all workers of an installation.
	TaskQueue string
	// BuildID identifies the program in histories. Default: the SDK's digest of it.
	BuildID string
	// Wrap, if not nil, replaces dependencies before the worker starts. Tests inject
	// faults with it.
	Wrap func(activities.Deps) activities.Deps
	// Metrics receives the worker's metrics. Default: metrics that are not served.
	Metrics *telemetry.Worker
	// Scrapes is the listener for /metrics, /livez and /readyz. With nil they are
	// not served. RunWith closes it.
	Scrapes net.Listener
}

// RunWith is Run with a given Temporal client and options.
func RunWith(ctx context.Context, cfg config.Config, temporal client.Client, log *slog.Logger, options Options) (err error) {
	if options.Scrapes != nil {
		defer func() { _ = options.Scrapes.Close() }()
	}
	if options.Metrics == nil {
		if options.Metrics, err = telemetry.NewWorker(""); err != nil {
			return err
		}
	}
	w, err := openAdapters(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer w.close()
	w.watch(options.Metrics)
	acts := w.activities(cfg, temporal, options.TaskQueue, log)
	acts.Deps = metered(acts.Deps, options.Metrics)
	if options.Wrap != nil {
		acts.Deps = options.Wrap(acts.Deps)
	}
	if err := acts.Reconciliation.RecordHeartbeat(ctx, acts.Staging.HostID()); err != nil {
		return err
	}
	if options.Scrapes != nil {
		defer serveMetrics(ctx, options.Scrapes, metricsHandler(cfg, w, options.Metrics, log), log)()
	}
	heartbeats, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		heartbeatHost(heartbeats, activities.HostHeartbeatInterval, acts.Reconciliation, acts.Staging.HostID(), log)
	})
	defer running.Wait()
	defer stop()
	return poll(ctx, cfg, temporal, log, acts, options)
}

// poll runs the Temporal workers until ctx ends or one of them fails.
func poll(ctx context.Context, cfg config.Config, temporal client.Client, log *slog.Logger, acts *activities.Activities, options Options) error {
	log.InfoContext(ctx, "worker starts", "task_queue", options.TaskQueue, "host", acts.Staging.HostID())
	failed := make(chan error, workersPerHost)
	return work(ctx, failed, workers(cfg, temporal, acts, options.TaskQueue, sdkworker.Options{
		BuildID:           options.BuildID, //nolint:staticcheck // its successor needs a server that routes by deployments
		WorkerStopTimeout: cfg.Worker.StopTimeout,
		OnFatalError:      func(err error) { failed <- err },
		Interceptors: []interceptor.WorkerInterceptor{
			&steadyHeartbeats{temporal: temporal, log: log}, &measuredSteps{metrics: options.Metrics},
		},
	})...)
}

const (
	workersPerHost = 5
	// maxCleanups is the concurrency limit of staging clean-ups; they are short.
	maxCleanups = 4
	// workflowPollers is the number of pollers for workflow tasks; the SDK's default
	// is two. They serve starts that were not eager and tasks after the first.
	workflowPollers = 8
	// maxSharedActivities bounds concurrent activities of the shared queue. Each
	// server with files in flight runs one dispatcher there.
	maxSharedActivities = 4000
	// maxWorkflowTasks bounds concurrent workflow tasks and local activities. A scan
	// pass starts DiscoverFiles of a thousand servers within seconds, and each holds
	// both until its server is listed; FileIngests need some beside them.
	maxWorkflowTasks = 4000
)

// workers returns one worker for the shared queue, one for direct transfers, and
// one for each kind of work on this host. Each has a limit of its own, so that
// downloads and uploads do not compete for slots.
func workers(cfg config.Config, temporal client.Client, acts *activities.Activities, taskQueue string, options sdkworker.Options) []sdkworker.Worker {
	sharedOptions := options
	sharedOptions.MaxConcurrentWorkflowTaskPollers = workflowPollers
	sharedOptions.MaxConcurrentActivityExecutionSize = maxSharedActivities
	sharedOptions.MaxConcurrentWorkflowTaskExecutionSize = maxWorkflowTasks
	sharedOptions.MaxConcurrentLocalActivityExecutionSize = maxWorkflowTasks
	shared := sdkworker.New(temporal, taskQueue, sharedOptions)
	registerShared(shared, acts)
	all := []sdkworker.Worker{shared}
	options.DisableWorkflowWorker = true
	host := temporalnames.HostQueue(acts.Staging.HostID())
	for _, kind := range []struct {
		queue         string
		maxConcurrent int
		register      func(sdkworker.Registry, *activities.Activities)
	}{
		{temporalnames.TransferQueue(taskQueue), activities.TransferTasks(cfg.Worker.MaxDownloads), registerTransfers},
		{host, activities.TransferTasks(cfg.Worker.MaxDownloads), registerHost},
		{temporalnames.UploadQueue(host), cfg.Worker.MaxUploads, registerHost},
		{temporalnames.CleanupQueue(host), maxCleanups, registerHost},
	} {
		options.MaxConcurrentActivityExecutionSize = kind.maxConcurrent
		w := sdkworker.New(temporal, kind.queue, options)
		kind.register(w, acts)
		all = append(all, w)
	}
	return all
}

// Activities returns the activities over the configured adapters, without metrics.
// Workflows that they start run on taskQueue. The caller calls closeAdapters after
// the last activity has returned.
func Activities(ctx context.Context, cfg config.Config, temporal client.Client, taskQueue string, log *slog.Logger) (_ *activities.Activities, closeAdapters func(), err error) {
	w, err := openAdapters(ctx, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	return w.activities(cfg, temporal, taskQueue, log), w.close, nil
}

// activities returns the activities over the adapters.
func (w *adapters) activities(cfg config.Config, temporal client.Client, taskQueue string, log *slog.Logger) *activities.Activities {
	return activities.New(activities.Deps{
		Direct: activities.DirectDeps{Transfers: w.store, Objects: w.objects, Copier: w.direct},
		Ledger: w.store, Catalog: w.store, Slots: w.store, Reconciliation: w.store, Sources: sources{w.sftp}, Staging: w.staging,
		Memory: transfer.Memory{Budget: w.budget, ReadAhead: w.ahead}, Objects: w.objects, Publisher: w.bus,
		Workflows: orchestrator.Dispatcher{Temporal: temporal, TaskQueue: taskQueue, Limits: ingest.ModeLimits{
			Memory: cfg.Transfer.MemoryLimit, Direct: cfg.Transfer.DirectAbove,
		}},
		Audits: w.store, Auditor: auditor{cfg, log},
		Log: log, HostTimeout: cfg.Worker.HostTimeout, HostFresh: hostFresh, StallTimeout: stallTimeout, MaxTransfers: cfg.Worker.MaxDownloads,
		ChecksumWait: cfg.Transfer.ChecksumWait,
	})
}

// work runs the workers until ctx ends or one fails. It stops them concurrently:
// one after another, the later ones would have no time left to checkpoint.
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
