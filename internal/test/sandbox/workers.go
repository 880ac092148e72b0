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
	"stevedore/internal/temporalnames"
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
	t.Cleanup(func() { h.logScans(t) })
	return h
}

// StartWorker runs a worker in this process until stop is called or the test ends.
func (h *Cluster) StartWorker(t testing.TB) (stop func()) { return h.StartWorkerWith(t, h.Cfg, nil) }

// StartWorkerWith runs a worker with other settings and with dependencies replaced by
// wrap, which may be nil.
func (h *Cluster) StartWorkerWith(t testing.TB, cfg config.Config, wrap func(activities.Deps) activities.Deps) (stop func()) {
	t.Helper()
	return h.StartWorkerWired(t, cfg, worker.Options{Wrap: wrap})
}

// StartWorkerWired is StartWorkerWith with a wiring, whose TaskQueue is replaced.
func (h *Cluster) StartWorkerWired(t testing.TB, cfg config.Config, options worker.Options) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context(t)))
	ended := make(chan error, 1)
	options.TaskQueue = h.Queue
	cfg = asWorkerConfig(t, cfg)
	go func() { ended <- worker.RunWith(ctx, cfg, h.Temporal, services.Logger(t), options) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	h.stops = append(h.stops, stop)
	return stop
}

// Scan starts a scan of all servers and returns its summary.
func (h *Cluster) Scan(t testing.TB) workflows.ScanSummary {
	t.Helper()
	return h.ScanAsync(t)()
}

// ScanAsync starts a scan and returns a function that waits for its summary, for tests
// whose worker is killed meanwhile.
func (h *Cluster) ScanAsync(t testing.TB) (summary func() workflows.ScanSummary) {
	t.Helper()
	h.LastScan = temporalnames.ScanWorkflowID(uuid.NewString())
	run := h.start(t, h.LastScan, workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "manual"})
	return func() (summary workflows.ScanSummary) {
		t.Helper()
		require.NoError(t, run.Get(h.Context(t), &summary))
		return summary
	}
}

// AwaitScans waits until every server's DiscoverFiles has ended.
func (h *Cluster) AwaitScans(t testing.TB, summary workflows.ScanSummary) {
	t.Helper()
	for _, s := range summary.Servers {
		_ = h.Temporal.GetWorkflow(h.Context(t), temporalnames.DiscoverWorkflowID(s.UUID), "").Get(h.Context(t), nil)
	}
}

// ScanAndWait scans all servers and waits until their DiscoverFiles have ended.
func (h *Cluster) ScanAndWait(t testing.TB) {
	t.Helper()
	h.AwaitScans(t, h.Scan(t))
}

// AwaitIngest waits until the file's workflow has ended.
func (h *Cluster) AwaitIngest(t testing.TB, fileUUID string) {
	t.Helper()
	require.NoError(t, h.Temporal.GetWorkflow(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "").Get(h.Context(t), nil))
}

// start starts a workflow. It retries all errors, because an overloaded server returns
// many kinds. Starting the same id again returns the same run.
func (h *Cluster) start(t testing.TB, id, name string, input any) (run client.WorkflowRun) {
	t.Helper()
	var err error
	Eventually(t, func() bool {
		run, err = h.Temporal.ExecuteWorkflow(h.Context(t), client.StartWorkflowOptions{ID: id, TaskQueue: h.Queue}, name, input)
		return err == nil
	}, Timeout, 200*time.Millisecond, "%s does not start: %s", id, func() string { return err.Error() })
	return run
}

// Reconcile runs a reconciliation that considers orphans of any age.
func (h *Cluster) Reconcile(t testing.TB) (found ingest.Reconciliation) {
	t.Helper()
	run := h.start(t, ReconcileID(h), workflows.NameReconcile, workflows.ReconcileInput{
		Unchanged: time.Millisecond, StagingAge: time.Millisecond, UploadAge: time.Millisecond, ObjectsWithin: time.Hour,
	})
	require.NoError(t, run.Get(h.Context(t), &found))
	return found
}

// ReconcileID returns the workflow id of the cluster's reconciliation.
func ReconcileID(h *Cluster) string { return "reconcile/" + h.Queue }

// Completed waits until the file at path is completed and returns it.
func (h *Cluster) Completed(t testing.TB, path string) ingest.File {
	t.Helper()
	return h.File(t, path, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
}

// Failed waits until the file at path is in status error and returns it.
func (h *Cluster) Failed(t testing.TB, path string) ingest.File {
	t.Helper()
	return h.File(t, path, func(f ingest.File) bool { return f.Status == ingest.StatusError })
}

// SendUpdate sends an operator action to a file's workflow and waits for its result.
func (h *Cluster) SendUpdate(t testing.TB, fileUUID, update string, d workflows.OperatorAction) error {
	t.Helper()
	handle, err := h.Temporal.UpdateWorkflow(h.Context(t), client.UpdateWorkflowOptions{
		WorkflowID: temporalnames.IngestWorkflowID(fileUUID), UpdateName: update,
		WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{d},
	})
	if err != nil {
		return err
	}
	return handle.Get(h.Context(t), nil)
}
