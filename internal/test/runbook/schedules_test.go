package runbook_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// newInstallation creates a cluster in its own namespace, with the task queue and the
// schedules of an installation. The schedules themselves are not due for hours.
func newInstallation(t *testing.T) (*sandbox.Cluster, *person, orchestrator.Client) {
	t.Helper()
	return newInstallationWith(t, nil)
}

// newInstallationWith is newInstallation with the worker's dependencies replaced by wrap,
// which may be nil.
func newInstallationWith(t *testing.T, wrap func(activities.Deps) activities.Deps) (*sandbox.Cluster, *person, orchestrator.Client) {
	t.Helper()
	h := &sandbox.Cluster{Sandbox: sandbox.New(t), Queue: temporalnames.TaskQueue}
	var namespace string
	h.Temporal, namespace = services.TemporalNamespace(t)
	engine := orchestrator.Client{Connect: operations.Provide[client.Client](h.Temporal)}
	_, err := engine.EnsureSearchAttributes(h.Context(t), namespace)
	require.NoError(t, err)
	for _, schedule := range []orchestrator.Recurring{orchestrator.Scanning(20 * time.Hour), orchestrator.Reconciling()} {
		schedule.Every = 20 * time.Hour
		_, err := engine.EnsureSchedule(h.Context(t), schedule)
		require.NoError(t, err)
	}
	h.StartWorkerWith(t, h.Cfg, wrap)
	return h, at(t, h, namespace), engine
}

// shows requires that the details of a workflow contain the texts.
func shows(t *testing.T, p *person, workflowID string, texts ...string) {
	t.Helper()
	out, err := p.shell(t, "temporal workflow metadata --workflow-id "+workflowID)
	require.NoError(t, err)
	for _, text := range texts {
		assert.Contains(t, out, text)
	}
}

func TestRecipesForSchedulesAndLostWorkflows(t *testing.T) {
	t.Parallel()
	h, p, engine := newInstallation(t)
	require.NoError(t, h.S3.Core.RemoveBucket(h.Context(t), h.S3.Bucket))
	acme := h.AddServer(t, "acme", func(s *ingest.Server) {
		sandbox.Staged(s)
		s.ScanInterval = 20 * time.Hour
	})
	stuck := func(name string) ingest.File {
		t.Helper()
		return h.File(t, acme.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.ErrorMessage != "" })
	}

	// A trigger scans due servers, also while the schedule is paused.
	p.run(t, "schedule-pause")
	p.until(t, "schedule-describe", regexp.MustCompile(`Notes +partner migrates\n +Paused +true`).MatchString)
	acme.Write(t, "first.csv", sandbox.Random(100))
	assert.Contains(t, p.run(t, "schedule-trigger"), "Trigger request sent")
	first := stuck("first.csv")
	p.run(t, "schedule-unpause")
	p.until(t, "schedule-describe", regexp.MustCompile(`Notes +partner has migrated\n +Paused +false`).MatchString)
	p.until(t, "list-scans", has("discover/"+first.ServerUUID, "Running"), "SERVER", "acme")

	// The server, which is not due for hours, is scanned again during its scan.
	acme.Write(t, "second.csv", sandbox.Random(200))
	p.run(t, "rescan", "SERVER_UUID", first.ServerUUID)
	second := stuck("second.csv")
	shows(t, p, "discover/"+first.ServerUUID, "`acme` **waits for the files in flight; its dispatcher starts ready files**", "Concurrency limit: 4.",
		"temporal workflow signal --workflow-id discover/"+first.ServerUUID+" --name rescan")
	shows(t, p, "ingest/"+second.UUID, "**is being uploaded**, step 3 of 4", "temporal activity pause --workflow-id ingest/"+second.UUID+" --activity-type Upload")
	scan, err := p.shell(t, `temporal workflow list --query 'WorkflowType="ScanAllServers"'`)
	require.NoError(t, err)
	shows(t, p, regexp.MustCompile(`scan/schedule\S+`).FindString(scan), "This scan **has ended**. Source: `schedule`", "1 started", "`acme`: `discover/")

	// After a workflow is terminated, the dispatcher starts another one for its slot.
	p.run(t, "terminate", "FILE_UUID", first.UUID)
	p.until(t, "list-terminated", has(first.UUID, "Terminated"), "SERVER", "acme")
	p.until(t, "list-running", has(first.UUID))
	assert.Nil(t, sandbox.Detail(h.Events(t, first.UUID), ingest.EventRequeued, "reason"), "it was in flight all the time")

	// Without a running dispatcher, a reconciliation requeues the file, also after a
	// cancellation. A dispatcher of a terminated scan ends at its next heartbeat; the
	// fence guarantees that.
	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.DiscoverWorkflowID(first.ServerUUID), "", "test"))
	_, err = h.Store.RegisterDispatcher(h.Context(t), first.ServerUUID)
	require.NoError(t, err)
	p.run(t, "terminate", "FILE_UUID", first.UUID)
	p.run(t, "cancel", "FILE_UUID", second.UUID)
	cancelled := h.Failed(t, second.RemotePath)
	assert.EqualValues(t, "cancelled", cancelled.ErrorKind)
	assert.Error(t, h.Temporal.GetWorkflow(h.Context(t), temporalnames.IngestWorkflowID(second.UUID), "").Get(h.Context(t), nil))
	p.run(t, "reconcile-trigger")
	p.until(t, "list-reconciles", has("reconcile/schedule", "Completed"))
	p.until(t, "reconcile-now", func(string) bool {
		return sandbox.Detail(h.Events(t, first.UUID), ingest.EventRequeued, "reason") != nil
	})
	h.File(t, first.RemotePath, func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	shows(t, p, "reconcile/manual", "Reconciliation **has ended**", "0 missing objects", "run 'stevedore setup'")

	// Everything ends as without interventions.
	require.NoError(t, h.S3.Core.MakeBucket(h.Context(t), h.S3.Bucket, minio.MakeBucketOptions{}))
	p.until(t, "list-failed", has(second.UUID), "SERVER", "acme")
	p.run(t, "update-retry", "FILE_UUID", second.UUID)
	h.Completed(t, second.RemotePath)
	h.Scan(t)
	h.Completed(t, first.RemotePath)
	for _, f := range []ingest.File{first, second} {
		h.AwaitIngest(t, f.UUID)
	}
	h.RequireExactlyOnceSoFar(t)

	// A workflow that is started for a renotify shows the same.
	require.NoError(t, engine.StartIngest(h.Context(t), h.Completed(t, first.RemotePath), workflows.FileIngestInput{
		FileUUID: first.UUID, ServerUUID: first.ServerUUID, Size: first.Size,
		Renotify: &workflows.OperatorAction{Actor: "ann", Reason: "the consumer lost its queue"},
	}))
	h.AwaitIngest(t, first.UUID)
	described := p.run(t, "describe-file", "FILE_UUID", first.UUID)
	for _, text := range []string{"`" + first.RemotePath + "`", `path:metadata`, `"\"completed\""`, `"\"acme\""`} {
		assert.Contains(t, described, text)
	}
}
