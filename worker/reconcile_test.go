package worker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

// reconcile runs a reconciliation and records its history.
func (h *cluster) reconcile(t *testing.T) ingest.Reconciliation {
	t.Helper()
	found := h.Reconcile(t)
	h.record(t, "reconcile", sandbox.ReconcileID(h.Cluster))
	return found
}

// stall is an object store whose Put blocks until release is closed. It sends the key
// to reached first.
type stall struct {
	activities.Objects
	reached chan string
	release chan struct{}
}

func (s stall) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	select {
	case s.reached <- req.Key:
	default:
	}
	select {
	case <-s.release:
		return s.Objects.Put(ctx, req)
	case <-ctx.Done():
		return ingest.Object{}, ctx.Err()
	}
}

func TestReconcileRequeuesFilesWithoutAWorkflow(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	reached, release := make(chan string, 1), make(chan struct{})
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Objects = stall{d.Objects, reached, release}
		return d
	})
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.csv", sandbox.Random(1000))
	summary := h.Scan(t)
	file := h.File(t, acme.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading })
	<-reached
	// Otherwise the dispatcher would requeue the file itself.
	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.DiscoverWorkflowID(summary.Servers[0].UUID), "", "test"))
	id := temporalnames.IngestWorkflowID(file.UUID)
	assert.Zero(t, h.reconcile(t).Requeued, "a file with a workflow is not requeued")
	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), id, "", "test"))

	found := h.reconcile(t)
	assert.EqualValues(t, 1, found.Requeued)
	assert.Contains(t, strings.Join(found.Findings, "\n"), "a.csv was uploading without a workflow")
	assert.Zero(t, h.reconcile(t).Requeued, "the file is requeued once")
	close(release)
	h.ScanAndWait(t)
	h.Completed(t, acme.Path("a.csv"))
	assert.NotNil(t, sandbox.Detail(h.Events(t, file.UUID), ingest.EventRequeued, "reason"))
	h.RequireExactlyOnce(t)
	runs, err := h.Store.ReconciliationsBefore(h.Context(t), 0, 10)
	require.NoError(t, err)
	assert.Len(t, runs, 3, "each run is recorded")
}

func TestReconcileRestartsTheWorkflowOfAFailedFile(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	path := failTwo(t, h)[0]
	file := h.Failed(t, path)
	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.IngestWorkflowID(file.UUID), "", "test"))
	require.ErrorContains(t, h.SendUpdate(t, file.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"}), "")

	assert.EqualValues(t, 1, h.reconcile(t).Restarted)
	assert.Zero(t, h.reconcile(t).Restarted)
	require.NoError(t, h.SendUpdate(t, file.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"}))
	h.Completed(t, path)
}

func TestReconcileNotifiesUploadedFiles(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.AMQP.Delete(t)
	stop := h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.csv", sandbox.Random(1000))
	h.Scan(t)
	file := h.File(t, acme.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusUploaded && f.ErrorMessage != "" })
	stop() // a running attempt would publish as soon as the queue exists
	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.IngestWorkflowID(file.UUID), "", "test"))
	h.AMQP.Declare(t)
	h.StartWorker(t)
	assert.EqualValues(t, 1, h.reconcile(t).Restarted)
	h.Completed(t, acme.Path("a.csv"))
	h.AwaitIngest(t, file.UUID)
	h.RequireExactlyOnce(t)
}

func TestReconcileRemovesOrphansOnly(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.csv", sandbox.Random(1000))
	h.ScanAndWait(t)
	done := h.Completed(t, acme.Path("a.csv"))
	h.AwaitIngest(t, done.UUID)
	failed := h.Failed(t, failTwoOn(t, h, "other")[0])

	folder := func(fileUUID string) string { return filepath.Join(h.Cfg.Staging.Dir, "files", fileUUID) }
	unknown := uuid.NewString()
	for _, fileUUID := range []string{done.UUID, unknown, failed.UUID} {
		require.NoError(t, os.MkdirAll(folder(fileUUID), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder(fileUUID), "data"), []byte("orphan"), 0o600))
	}
	begin := func(key string) (uploadID string) {
		uploadID, err := h.S3.Core.NewMultipartUpload(h.Context(t), h.S3.Bucket, key, minio.PutObjectOptions{})
		require.NoError(t, err)
		return uploadID
	}
	begin(done.ObjectKey)
	spared := ingest.ObjectKey(failed)
	live := begin(spared)
	foreign := begin("other/application.bin")
	adopted := strings.Replace(done.ObjectKey, done.UUID, unknown, 1)
	kept := begin(adopted)

	found := h.reconcile(t)

	assert.EqualValues(t, 1, found.StagingRemoved)
	assert.NoDirExists(t, folder(done.UUID))
	assert.DirExists(t, folder(failed.UUID), "staged bytes of a file with an open workflow are kept")
	assert.DirExists(t, folder(unknown), "an older backup of the ledger may have been restored")
	assert.Equal(t, 2, strings.Count(strings.Join(found.Findings, "\n"), "not in the ledger"))
	assert.EqualValues(t, 1, found.UploadsAborted)
	assert.Equal(t, 3, h.S3.OpenUploads(t))
	assert.NoError(t, h.S3.Core.AbortMultipartUpload(h.Context(t), h.S3.Bucket, adopted, kept))
	assert.NoError(t, h.S3.Core.AbortMultipartUpload(h.Context(t), h.S3.Bucket, spared, live))
	assert.NoError(t, h.S3.Core.AbortMultipartUpload(h.Context(t), h.S3.Bucket, "other/application.bin", foreign))

	require.NoError(t, h.S3.Core.RemoveObject(h.Context(t), h.S3.Bucket, done.ObjectKey, minio.RemoveObjectOptions{}))
	found = h.reconcile(t)
	assert.EqualValues(t, 1, found.ObjectsMissing)
	assert.Contains(t, strings.Join(found.Findings, "\n"), "is missing")
	assert.Zero(t, found.StagingRemoved+found.UploadsAborted)
}
