package faults_test

import (
	"log/slog"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/wiring"
)

// TestFault46_ObjectDeletedLater deletes one object and damages another outside of
// stevedore. The audit reports both, and nothing else.
func TestFault46_ObjectDeletedLater(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", nil)
	for i, name := range []string{"kept.bin", "deleted.bin", "damaged.bin"} {
		acme.Write(t, name, sandbox.Random(1000+i))
	}
	h.StartWorker(t)
	h.ScanAndWait(t)
	h.RequireExactlyOnce(t)
	parts, err := wiring.New(h.Cfg, slog.New(slog.DiscardHandler), wiring.Options{})
	require.NoError(t, err)
	t.Cleanup(parts.Close)
	run := func() (found []ingest.Discrepancy) {
		_, err := parts.Operations().Audit(h.Context(t), operations.AuditRequest{Deep: true}, func(d ingest.Discrepancy) error {
			found = append(found, d)
			return nil
		})
		require.NoError(t, err)
		return found
	}
	require.Empty(t, run())

	deleted, damaged := h.Completed(t, acme.Path("deleted.bin")), h.Completed(t, acme.Path("damaged.bin"))
	require.NoError(t, h.S3.Core.RemoveObject(h.Context(t), h.S3.Bucket, deleted.ObjectKey, minio.RemoveObjectOptions{}))
	h.S3.Replace(t, damaged.ObjectKey, sandbox.Random(1003)[:1002])

	marks := map[string]ingest.AuditMark{}
	for _, d := range run() {
		marks[d.FileUUID] = d.Mark
	}
	assert.Equal(t, map[string]ingest.AuditMark{deleted.UUID: ingest.AuditMissing, damaged.UUID: ingest.AuditWrong}, marks)
}
