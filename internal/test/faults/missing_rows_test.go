package faults_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// TestFault73_BytesWithoutARowAreKept restores a ledger from before a file was listed,
// while only staging has the file's bytes: its source is gone. If a workflow of the file
// is running, the file returns to the ledger. Otherwise its bytes are kept and reported,
// as are the parts of an upload that is not in the ledger.
func TestFault73_BytesWithoutARowAreKept(t *testing.T) {
	t.Parallel()
	for name, hasWorkflow := range map[string]bool{"with a workflow": true, "without a workflow": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			proxy := newStoreProxy(t, h)
			proxy.inject(func(w http.ResponseWriter, r *http.Request) bool {
				if isWrite(r) {
					refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
				}
				return isWrite(r)
			}, nil)
			acme := h.AddServer(t, "acme", sandbox.Staged)
			content := sandbox.Random(100_000)
			acme.Write(t, "a.bin", content)
			stop := h.StartWorker(t)
			h.ScanAsync(t)
			file := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.ErrorMessage != "" })
			stop()
			restoreOlderLedger(t, h, file.ServerUUID)
			require.NoError(t, os.Remove(acme.Path("a.bin")))
			stray := ingest.ObjectKey(ingest.File{UUID: uuid.NewString(), Filename: "b.bin", ModTime: file.ModTime})
			_, err := h.S3.Core.NewMultipartUpload(h.Context(t), h.S3.Bucket, stray, minio.PutObjectOptions{})
			require.NoError(t, err)
			if !hasWorkflow {
				require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.IngestWorkflowID(file.UUID), "", "the test's"))
			}

			proxy.inject(nil, nil)
			h.StartWorker(t)
			found := h.Reconcile(t)
			findings := strings.Join(found.Findings, "\n")
			assert.Contains(t, findings, file.UUID)
			assert.Contains(t, findings, stray)
			assert.Zero(t, found.StagingRemoved+found.UploadsAborted)
			assert.Equal(t, 1, h.S3.OpenUploads(t), "the parts are kept")
			require.NoError(t, h.S3.Core.RemoveIncompleteUpload(h.Context(t), h.S3.Bucket, stray))
			if !hasWorkflow {
				assert.Empty(t, h.Files(t))
				assert.EqualValues(t, len(content), largestStaged(h.Cfg.Staging.Dir), "the staged bytes are kept")
				return
			}
			again := h.Completed(t, acme.Path("a.bin"))
			h.AwaitIngest(t, again.UUID)
			assert.Equal(t, file.UUID, again.UUID)
			assert.Equal(t, sandbox.Digest(content), again.Hash)
			acme.Write(t, "a.bin", content) // the audit compares with the source
			h.RequireExactlyOnce(t)
		})
	}
}

// restoreOlderLedger replaces the ledger by one with the server and no file.
func restoreOlderLedger(t *testing.T, h *sandbox.Cluster, serverUUID string) {
	t.Helper()
	server, err := h.Store.Server(h.Context(t), serverUUID)
	require.NoError(t, err)
	useDatabase(t, h, services.Database(t))
	_, err = h.Store.AddServer(h.Context(t), server)
	require.NoError(t, err)
}
