package bench

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// enginePollers is the number of pollers for workflow tasks, as in the worker.
const enginePollers = 8

// emptyIngest is the name and the workflow id prefix of the engine's workflow.
const emptyIngest = "EmptyIngest"

// engine measures the ceiling of the workflow engine. Its workflows are started like
// FileIngest, by the client of the process that runs them, and run one empty local
// activity. Its unit is workflows.
func engine(t *testing.T, w Workload, run *Run) {
	temporal, queue := services.Temporal(t)
	e := &emptyRunner{client: temporal, queue: queue}
	worker := sdkworker.New(temporal, queue, sdkworker.Options{
		MaxConcurrentWorkflowTaskPollers: enginePollers, LocalActivityWorkerOnly: true,
	})
	worker.RegisterWorkflowWithOptions(e.workflow, workflow.RegisterOptions{Name: emptyIngest})
	require.NoError(t, worker.Start())
	t.Cleanup(worker.Stop)
	ctx := t.Context()
	awaitPollers(ctx, t, temporal, queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)

	writes := writesSoFar(t)
	meter := startMeter(t, w, 0)
	began := time.Now()
	require.NoError(t, e.runAll(ctx, w.Files()))
	run.Took = time.Since(began)
	run.Files, run.CPU = w.Files(), meter.cpu(t)
	run.Rate = float64(run.Files) / run.Took.Seconds()
	run.Histories = historiesOf(ctx, t, temporal, queue, run.Files)
	run.TemporalWrites = writesSoFar(t) - writes
	require.Equal(t, run.Files, run.Histories.Workflows)
	require.Positive(t, run.Histories.Eager, "no workflow was started eagerly: this is not the engine's ceiling")
}

// emptyRunner starts empty workflows and runs them.
type emptyRunner struct {
	client client.Client
	queue  string
	// done has a channel for each workflow id, closed by its local activity.
	done sync.Map
}

// runAll runs n workflows, with as many concurrently as stevedore has slots. A slot is
// free when the local activity has run, as in stevedore; runAll also waits for the last
// workflow of each slot.
func (e *emptyRunner) runAll(ctx context.Context, n int) error {
	numbers := make(chan int)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(numbers)
		for i := range n {
			select {
			case numbers <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range Servers * PerServer {
		group.Go(func() error {
			var last client.WorkflowRun
			for range numbers {
				started, err := e.runOne(ctx)
				if err != nil {
					return err
				}
				last = started
			}
			if last == nil {
				return nil
			}
			return last.Get(ctx, nil)
		})
	}
	return group.Wait()
}

// runOne returns when the workflow's local activity has run.
func (e *emptyRunner) runOne(ctx context.Context) (client.WorkflowRun, error) {
	id := emptyIngest + "/" + uuid.NewString()
	done := make(chan struct{})
	e.done.Store(id, done)
	shown := workflows.FileMetadata{ServerName: ServerName(0), Path: "/out/file_000000.bin", Size: smallSize, Status: ingest.StatusReady}
	started, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: e.queue, EnableEagerStart: true,
		StaticSummary: shown.Summary(), Memo: shown.Memo(), TypedSearchAttributes: shown.SearchAttributes(),
		Priority: temporal.Priority{FairnessKey: ServerName(0)},
	}, emptyIngest)
	if err != nil {
		return nil, err
	}
	select {
	case <-done:
		return started, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *emptyRunner) workflow(ctx workflow.Context) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{ScheduleToCloseTimeout: time.Minute})
	return workflow.ExecuteLocalActivity(ctx, e.nothing, workflow.GetInfo(ctx).WorkflowExecution.ID).Get(ctx, nil)
}

func (e *emptyRunner) nothing(_ context.Context, id string) error {
	if done, ok := e.done.LoadAndDelete(id); ok {
		close(done.(chan struct{}))
	}
	return nil
}

func writesSoFar(t *testing.T) float64 {
	t.Helper()
	writes, err := PersistenceWrites(t.Context())
	require.NoError(t, err)
	return writes
}
