package faults_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/access"
	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/wiring"
	"stevedore/workflows"
)

// operator returns the operations of the operator Ann.
func operator(t *testing.T, h *sandbox.Cluster) (context.Context, *operations.Service) {
	ops := operations.New(operations.Deps{
		Ledger:       h.Store,
		Orchestrator: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue},
	})
	return access.As(h.Context(t), ingest.Principal{Name: "ann", Role: ingest.RoleOperator}), ops
}

// reprocess requests that the file is ingested again, once its workflow has ended.
func reprocess(t *testing.T, h *sandbox.Cluster, file ingest.File) error {
	h.AwaitIngest(t, file.UUID)
	ctx, ops := operator(t, h)
	_, err := ops.ActOnFile(ctx, file.UUID, ingest.ActionReprocess, workflows.OperatorAction{Reason: "the object was deleted"})
	return err
}

// again waits until the file is completed in a later round.
func again(t *testing.T, h *sandbox.Cluster, file ingest.File) ingest.File {
	return h.File(t, file.RemotePath, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted && f.Round > file.Round })
}

// deleteObject deletes the object of the file.
func deleteObject(t *testing.T, h *sandbox.Cluster, file ingest.File) {
	t.Helper()
	require.NoError(t, h.S3.Core.RemoveObject(h.Context(t), h.S3.Bucket, file.ObjectKey, minio.RemoveObjectOptions{}))
}

// TestFault76_ObjectLost deletes the object of a completed file, and then the bucket. The
// audit reports the file, and an operator reprocesses it: one row, one object under the
// same key, one message id.
func TestFault76_ObjectLost(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]func(*ingest.Server){"memory": sandbox.InMemory, "staged": sandbox.Staged, "direct": sandbox.Direct} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			acme := h.AddServer(t, "acme", mode)
			acme.Write(t, "a.bin", sandbox.Random(100_000))
			acme.Write(t, "b.bin", sandbox.Random(1000))
			h.StartWorker(t)
			h.ScanAndWait(t)
			first := h.Completed(t, acme.Path("a.bin"))
			deleteObject(t, h, first)
			require.Equal(t, []string{first.UUID}, missing(t, h))
			require.NoError(t, reprocess(t, h, first))
			second := again(t, h, first)
			assert.Equal(t, first.ObjectKey, second.ObjectKey)
			assert.Equal(t, first.Hash, second.Hash)
			assert.Equal(t, "ann", sandbox.Detail(h.Events(t, first.UUID), ingest.EventOperatorAction, "actor"))
			assert.Equal(t, true, sandbox.Detail(h.Events(t, first.UUID), ingest.EventOperatorAction, "verified"))
			require.Empty(t, missing(t, h))

			for _, object := range h.S3.Objects(t) {
				require.NoError(t, h.S3.Core.RemoveObject(h.Context(t), h.S3.Bucket, object.Key, minio.RemoveObjectOptions{}))
			}
			require.NoError(t, h.S3.Core.RemoveBucket(h.Context(t), h.S3.Bucket))
			require.NoError(t, h.S3.Core.MakeBucket(h.Context(t), h.S3.Bucket, minio.MakeBucketOptions{}))
			for _, file := range h.Files(t) {
				require.NoError(t, reprocess(t, h, file))
				again(t, h, file)
			}
			h.RequireExactlyOnce(t)
		})
	}
}

// missing returns the files that an audit reports without an object.
func missing(t *testing.T, h *sandbox.Cluster) (uuids []string) {
	t.Helper()
	parts, err := wiring.New(h.Cfg, slog.New(slog.DiscardHandler), wiring.Options{})
	require.NoError(t, err)
	defer parts.Close()
	_, err = parts.Operations().Audit(h.Context(t), operations.AuditRequest{}, func(d audit.Discrepancy) error {
		if d.Mark == audit.Missing {
			uuids = append(uuids, d.FileUUID)
		}
		return nil
	})
	require.NoError(t, err)
	return uuids
}

// TestFault76_NothingToReprocess: a file that cannot be ingested again stays completed,
// and the operator gets the reason.
func TestFault76_NothingToReprocess(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme, globex := h.AddServer(t, "acme", nil), h.AddServer(t, "globex", func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	acme.Write(t, "there.bin", sandbox.Random(1000))
	acme.Write(t, "other.bin", sandbox.Random(1001))
	acme.Write(t, "changed.bin", sandbox.Random(1002))
	globex.Write(t, "deleted.bin", sandbox.Random(1003))
	h.StartWorker(t)
	h.ScanAndWait(t)
	there, other := h.Completed(t, acme.Path("there.bin")), h.Completed(t, acme.Path("other.bin"))
	changed, deleted := h.Completed(t, acme.Path("changed.bin")), h.Completed(t, globex.Path("deleted.bin"))
	h.S3.Replace(t, other.ObjectKey, sandbox.Random(7))
	deleteObject(t, h, changed)
	acme.Write(t, "changed.bin", sandbox.Random(9))
	deleteObject(t, h, deleted)
	h.AwaitIngest(t, deleted.UUID)

	for _, c := range []struct {
		file   ingest.File
		kind   ingest.Kind
		reason string
	}{
		{there, ingest.KindConflict, "exists with the file's content"},
		{other, ingest.KindConflict, "exists with other content"},
		{changed, ingest.KindSourceGone, "another version"},
		{deleted, ingest.KindSourceGone, "after-ingest action delete"},
	} {
		err := reprocess(t, h, c.file)
		assert.Equal(t, c.kind, ingest.KindOf(err), "%v", err)
		assert.ErrorContains(t, err, c.reason)
		now, err := h.Store.File(h.Context(t), c.file.UUID)
		require.NoError(t, err)
		assert.Equal(t, c.file.Status, now.Status, c.reason)
		assert.Equal(t, c.file.Round, now.Round, c.reason)
		assert.Equal(t, c.file.ObjectKey, now.ObjectKey, c.reason)
	}
}

// TestFault76_OtherContentIsNotPublished: other content with the same size and time must
// not be notified under the message id of the earlier content.
func TestFault76_OtherContentIsNotPublished(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]func(*ingest.Server){"memory": sandbox.InMemory, "staged": sandbox.Staged, "direct": sandbox.Direct} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			acme := h.AddServer(t, "acme", mode)
			content := sandbox.Random(20_000)
			acme.Write(t, "a.bin", content)
			h.StartWorker(t)
			h.ScanAndWait(t)
			file := h.Completed(t, acme.Path("a.bin"))
			require.Len(t, h.AMQP.Messages(t), 1)
			deleteObject(t, h, file)
			rewrite(t, acme.Path("a.bin"), sandbox.Random(20_001)[1:], file.ModTime)
			require.NoError(t, reprocess(t, h, file))
			failed := h.Failed(t, file.RemotePath)
			assert.Equal(t, ingest.KindHashMismatch, failed.ErrorKind)
			assert.Contains(t, failed.ErrorMessage, "differs from the content of its published notification")
			assert.Empty(t, h.AMQP.Messages(t), "no notification is published")

			rewrite(t, acme.Path("a.bin"), content, file.ModTime)
			ctx, ops := operator(t, h)
			_, err := ops.ActOnFile(ctx, file.UUID, ingest.ActionRetry, workflows.OperatorAction{Reason: "the partner restored it"})
			require.NoError(t, err)
			again(t, h, file)
			h.RequireExactlyOnce(t)
		})
	}
}

// rewrite replaces the content of a file and keeps its mtime.
func rewrite(t *testing.T, path string, content []byte, at time.Time) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	require.NoError(t, os.Chtimes(path, at, at))
}
