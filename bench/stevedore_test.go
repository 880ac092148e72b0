package bench

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
)

// stevedore measures one worker process with its own database, bucket and queue. The time
// is that from the start of the scan until the last file is completed, which includes its
// notification. The start of the worker is excluded, and the settle time is 0.
func stevedore(t *testing.T, w Workload, run *Run) {
	h := sandbox.NewCluster(t)
	h.SetTimeout(3 * time.Hour) // the timeout of `make load`
	for i, sshd := range w.Servers {
		h.Adopt(t, sshd, ServerName(i), func(s *ingest.Server) { s.MaxParallel, s.Settle = PerServer, 0 })
	}
	all := strconv.Itoa(Servers * PerServer)
	worker := h.StartProcess(t, sandbox.ProcessOptions{Env: []string{
		"STEVEDORE_WORKER_MAX_DOWNLOADS=" + all, "STEVEDORE_WORKER_MAX_UPLOADS=" + all,
	}})
	awaitPollers(h.Context(t), t, h.Temporal, h.Queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
	dsn := h.Cfg.Database.URL.Reveal()
	ledger, writes := readLedger(h.Context(t), t, dsn), writesSoFar(t)
	meter := startMeter(t, w, worker.Pid())
	h.ScanAndWait(t)
	run.Files, run.CPU = w.Files(), meter.cpu(t)

	files := h.Files(t)
	require.Len(t, files, len(w.sizes))
	last := slices.MaxFunc(files, func(a, b ingest.File) int { return a.CompletedAt.Compare(b.CompletedAt) })
	run.Took = last.CompletedAt.Sub(scanStart(t, h))
	run.Rate = w.Units / run.Took.Seconds()
	run.PeakBytes = worker.PeakMemory(t)
	run.Histories = historiesOf(h.Context(t), t, h.Temporal, h.Queue, len(files))
	run.TemporalWrites = writesSoFar(t) - writes
	run.LedgerEvents, run.HistoryEvents = eventsOf(t, h, last)
	run.Steps = stepsOf(t, h, files)
	worker.Terminate(t)
	after := readLedger(h.Context(t), t, dsn)
	run.Commits, run.WALSyncs = after.commits-ledger.commits, after.walSyncs-ledger.walSyncs
	h.RequireExactlyOnce(t)
	require.NoError(t, Empty(t.Context(), h.S3))
}

// awaitPollers waits until a worker polls for tasks of all kinds.
func awaitPollers(ctx context.Context, t *testing.T, temporal client.Client, queue string, kinds ...enumspb.TaskQueueType) {
	t.Helper()
	for _, kind := range kinds {
		sandbox.Eventually(t, func() bool {
			described, err := temporal.DescribeTaskQueue(ctx, queue, kind)
			return err == nil && len(described.GetPollers()) > 0
		}, sandbox.Timeout, sandbox.Timeout/1000, "no worker polls")
	}
}

// scanStart returns the start time of the scan in Temporal, by the clock of this machine,
// which is also the database's.
func scanStart(t *testing.T, h *sandbox.Cluster) time.Time {
	t.Helper()
	scan, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), h.LastScan, "")
	require.NoError(t, err)
	return scan.GetWorkflowExecutionInfo().GetStartTime().AsTime()
}

// eventsOf counts the records of one file: its events in the ledger and in the history of
// its workflow.
func eventsOf(t *testing.T, h *sandbox.Cluster, f ingest.File) (ledger, history int) {
	t.Helper()
	flow, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(f.UUID), "")
	require.NoError(t, err)
	return len(h.Events(t, f.UUID)), int(flow.GetWorkflowExecutionInfo().GetHistoryLength())
}

// stepsOf returns the median time before each event.
func stepsOf(t *testing.T, h *sandbox.Cluster, files []ingest.File) (steps []Step) {
	var order []ingest.EventType
	took := map[ingest.EventType][]float64{}
	for _, f := range files {
		events := h.Events(t, f.UUID)
		for i := 1; i < len(events); i++ {
			of := events[i].Type
			if took[of] == nil {
				order = append(order, of)
			}
			took[of] = append(took[of], events[i].Timestamp.Sub(events[i-1].Timestamp).Seconds())
		}
	}
	for _, of := range order {
		steps = append(steps, Step{Event: string(of), Took: time.Duration(Median(took[of]) * float64(time.Second))})
	}
	return steps
}
