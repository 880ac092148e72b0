package sandbox

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
	"stevedore/worker"
	"stevedore/workflows"
)

// Cluster is a Sandbox with a Temporal server and workers.
type Cluster struct {
	*Sandbox
	Temporal client.Client
	// Queue is the shared task queue of the cluster's workers.
	Queue string
	// LastScan is the workflow id of the last scan.
	LastScan string

	// stops stop the workers in this process; processes are the other workers.
	stops     []func()
	processes []*Process
}

// NewCluster creates a cluster without workers.
func NewCluster(t *testing.T) *Cluster {
	t.Helper()
	h := &Cluster{Sandbox: New(t)}
	h.Temporal, h.Queue = services.Temporal(t)
	t.Cleanup(h.logScans)
	return h
}

// StartWorker runs a worker in this process until stop is called or the test ends.
func (h *Cluster) StartWorker() (stop func()) { return h.StartWorkerWith(h.Cfg, nil) }

// StartWorkerWith runs a worker with other settings and with dependencies replaced by
// wrap, which may be nil.
func (h *Cluster) StartWorkerWith(cfg config.Config, wrap func(activities.Deps) activities.Deps) (stop func()) {
	h.T.Helper()
	return h.StartWorkerWired(cfg, worker.Wiring{Wrap: wrap})
}

// StartWorkerWired is StartWorkerWith with a wiring, whose TaskQueue is replaced.
func (h *Cluster) StartWorkerWired(cfg config.Config, wiring worker.Wiring) (stop func()) {
	h.T.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Ctx))
	ended := make(chan error, 1)
	wiring.TaskQueue = h.Queue
	cfg = asWorkerConfig(h.T, cfg)
	go func() { ended <- worker.RunWith(ctx, cfg, h.Temporal, services.Logger(h.T), wiring) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(h.T, <-ended)
		}
	}
	h.T.Cleanup(stop)
	h.stops = append(h.stops, stop)
	return stop
}

// Scan starts a scan of all servers and returns its summary.
func (h *Cluster) Scan() workflows.ScanSummary {
	h.T.Helper()
	return h.ScanAsync()()
}

// ScanAsync starts a scan and returns a function that waits for its summary, for tests
// whose worker is killed meanwhile.
func (h *Cluster) ScanAsync() (summary func() workflows.ScanSummary) {
	h.T.Helper()
	h.LastScan = ingest.ScanWorkflowID(uuid.NewString())
	run := h.start(h.LastScan, workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "manual"})
	return func() (summary workflows.ScanSummary) {
		h.T.Helper()
		require.NoError(h.T, run.Get(h.Ctx, &summary))
		return summary
	}
}

// AwaitScans waits until every server's DiscoverFiles has ended.
func (h *Cluster) AwaitScans(summary workflows.ScanSummary) {
	h.T.Helper()
	for _, s := range summary.Servers {
		_ = h.Temporal.GetWorkflow(h.Ctx, ingest.DiscoverWorkflowID(s.UUID), "").Get(h.Ctx, nil)
	}
}

// ScanAndWait scans all servers and waits until their DiscoverFiles have ended.
func (h *Cluster) ScanAndWait() {
	h.T.Helper()
	h.AwaitScans(h.Scan())
}

// AwaitIngest waits until the file's workflow has ended.
func (h *Cluster) AwaitIngest(fileUUID string) {
	h.T.Helper()
	require.NoError(h.T, h.Temporal.GetWorkflow(h.Ctx, ingest.IngestWorkflowID(fileUUID), "").Get(h.Ctx, nil))
}

// start starts a workflow. It retries all errors, because an overloaded server returns
// many kinds. Starting the same id again returns the same run.
func (h *Cluster) start(id, name string, input any) (run client.WorkflowRun) {
	h.T.Helper()
	var err error
	Eventually(h.T, func() bool {
		run, err = h.Temporal.ExecuteWorkflow(h.Ctx, client.StartWorkflowOptions{ID: id, TaskQueue: h.Queue}, name, input)
		return err == nil
	}, Timeout, 200*time.Millisecond, "%s does not start: %s", id, func() string { return err.Error() })
	return run
}

// Reconcile runs a reconciliation that considers orphans of any age.
func (h *Cluster) Reconcile() (found ingest.Reconciliation) {
	h.T.Helper()
	run := h.start(ReconcileID(h), workflows.NameReconcile, workflows.ReconcileInput{
		Unchanged: time.Millisecond, StagingAge: time.Millisecond, UploadAge: time.Millisecond, ObjectsWithin: time.Hour,
	})
	require.NoError(h.T, run.Get(h.Ctx, &found))
	return found
}

// ReconcileID returns the workflow id of the cluster's reconciliation.
func ReconcileID(h *Cluster) string { return "reconcile/" + h.Queue }

// Completed waits until the file at path is completed and returns it.
func (h *Cluster) Completed(path string) ingest.File {
	h.T.Helper()
	return h.File(path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
}

// Parked waits until the file at path is in status error and returns it.
func (h *Cluster) Parked(path string) ingest.File {
	h.T.Helper()
	return h.File(path, func(f ingest.File) bool { return f.Status == ingest.StatusError })
}

// SendUpdate sends an operator action to a file's workflow and waits for its result.
func (h *Cluster) SendUpdate(fileUUID, update string, d workflows.OperatorAction) error {
	h.T.Helper()
	handle, err := h.Temporal.UpdateWorkflow(h.Ctx, client.UpdateWorkflowOptions{
		WorkflowID: ingest.IngestWorkflowID(fileUUID), UpdateName: update,
		WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{d},
	})
	if err != nil {
		return err
	}
	return handle.Get(h.Ctx, nil)
}
