package bench

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"stevedore/internal/ingest"
	"stevedore/internal/rig"
)

// stevedore is one worker process with a database, a bucket and a queue of its
// own. Measured is from the start of the scan until the last file is completed,
// which is after it was announced; the worker runs already, as it always does.
// The settle time is 0: waiting is no work.
func stevedore(t *testing.T, w Workload, run *Run) {
	h := rig.NewHarbour(t)
	h.Ctx = t.Context() // as long as it takes
	for i, sshd := range w.Servers {
		h.Adopt(sshd, ServerName(i), func(s *ingest.Server) { s.MaxParallel, s.Settle = PerServer, 0 })
	}
	all := strconv.Itoa(Servers * PerServer)
	worker := h.StartProcess(rig.ProcessOptions{Env: []string{
		"STEVEDORE_WORKER_MAX_DOWNLOADS=" + all, "STEVEDORE_WORKER_MAX_UPLOADS=" + all,
	}})
	awaitPollers(t, h)
	h.ScanAndWait()

	files := h.Files()
	require.Len(t, files, len(w.sizes))
	last := slices.MaxFunc(files, func(a, b ingest.File) int { return a.CompletedAt.Compare(b.CompletedAt) })
	run.Took = last.CompletedAt.Sub(scanStart(t, h))
	run.PeakBytes = worker.PeakMemory()
	run.LedgerEvents, run.HistoryEvents = eventsOf(t, h, last)
	run.Steps = stepsOf(h, files)
	h.RequireExactlyOnce()
	require.NoError(t, Empty(t.Context(), h.S3))
}

// awaitPollers waits until the worker asks for work.
func awaitPollers(t *testing.T, h *rig.Harbour) {
	t.Helper()
	for _, kind := range []enumspb.TaskQueueType{enumspb.TASK_QUEUE_TYPE_WORKFLOW, enumspb.TASK_QUEUE_TYPE_ACTIVITY} {
		require.Eventually(t, func() bool {
			queue, err := h.Temporal.DescribeTaskQueue(h.Ctx, h.Queue, kind)
			return err == nil && len(queue.GetPollers()) > 0
		}, rig.Patience, rig.Patience/1000, "the worker does not start")
	}
}

// scanStart is when Temporal began the scan, by the clock of this machine, which
// is that of the database too.
func scanStart(t *testing.T, h *rig.Harbour) time.Time {
	t.Helper()
	scan, err := h.Temporal.DescribeWorkflowExecution(h.Ctx, h.LastScan, "")
	require.NoError(t, err)
	return scan.GetWorkflowExecutionInfo().GetStartTime().AsTime()
}

// eventsOf counts what is on record of one file: in the ledger and in the
// history of its workflow.
func eventsOf(t *testing.T, h *rig.Harbour, f ingest.File) (ledger, history int) {
	t.Helper()
	flow, err := h.Temporal.DescribeWorkflowExecution(h.Ctx, ingest.IngestWorkflowID(f.UUID), "")
	require.NoError(t, err)
	return len(h.Events(f.UUID)), int(flow.GetWorkflowExecutionInfo().GetHistoryLength())
}

// stepsOf is the median time that came before each event.
func stepsOf(h *rig.Harbour, files []ingest.File) (steps []Step) {
	var order []ingest.EventType
	took := map[ingest.EventType][]float64{}
	for _, f := range files {
		events := h.Events(f.UUID)
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
