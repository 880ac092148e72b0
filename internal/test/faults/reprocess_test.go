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
func operator(h *sandbox.Cluster) (context.Context, *operations.Service) {
	ops := operations.New(operations.Deps{
		Ledger:       h.Store,
		Orchestrator: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue},
	})
	return access.As(h.Ctx, ingest.Principal{Name: "ann", Role: ingest.RoleOperator}), ops
}

// reprocess requests that the file is ingested again, once its workflow has ended.
func reprocess(h *sandbox.Cluster, file ingest.File) error {
	h.AwaitIngest(file.UUID)
	ctx, ops := operator(h)
	_, err := ops.ActOnFile(ctx, file.UUID, operations.Reprocess, workflows.OperatorAction{Reason: "the object was deleted"})
	return err
}

// again waits until the file is completed in a later round.
func again(h *sandbox.Cluster, file ingest.File) ingest.File {
	return h.File(file.RemotePath, func(f ingest.File) bool { return f.Status == ingest.StatusCompleted && f.Round > file.Round })
}

// lose deletes the object of the file.
func lose(h *sandbox.Cluster, file ingest.File) {
	h.T.Helper()
	require.NoError(h.T, h.S3.Core.RemoveObject(h.Ctx, h.S3.Bucket, file.ObjectKey, minio.RemoveObjectOptions{}))
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
			acme := h.AddServer("acme", mode)
			acme.Write("a.bin", sandbox.Random(100_000))
			acme.Write("b.bin", sandbox.Random(1000))
			h.StartWorker()
			h.ScanAndWait()
			first := h.Completed(acme.Path("a.bin"))
			lose(h, first)
			require.Equal(t, []string{first.UUID}, missing(h))
			require.NoError(t, reprocess(h, first))
			second := again(h, first)
			assert.Equal(t, first.ObjectKey, second.ObjectKey)
			assert.Equal(t, first.Hash, second.Hash)
			assert.Equal(t, "ann", sandbox.Detail(h.Events(first.UUID), ingest.EventOperatorAction, "actor"))
			assert.Equal(t, true, sandbox.Detail(h.Events(first.UUID), ingest.EventOperatorAction, "verified"))
			require.Empty(t, missing(h))

			for _, object := range h.S3.Objects(t) {
				require.NoError(t, h.S3.Core.RemoveObject(h.Ctx, h.S3.Bucket, object.Key, minio.RemoveObjectOptions{}))
			}
			require.NoError(t, h.S3.Core.RemoveBucket(h.Ctx, h.S3.Bucket))
			require.NoError(t, h.S3.Core.MakeBucket(h.Ctx, h.S3.Bucket, minio.MakeBucketOptions{}))
			for _, file := range h.Files() {
				require.NoError(t, reprocess(h, file))
				again(h, file)
			}
			h.RequireExactlyOnce()
		})
	}
}

// missing returns the files that an audit reports without an object.
func missing(h *sandbox.Cluster) (uuids []string) {
	h.T.Helper()
	parts, err := wiring.New(h.Cfg, slog.New(slog.DiscardHandler), wiring.Options{})
	require.NoError(h.T, err)
	defer parts.Close()
	_, err = parts.Operations().Audit(h.Ctx, operations.AuditRequest{}, func(d audit.Discrepancy) error {
		if d.Mark == audit.Missing {
			uuids = append(uuids, d.FileUUID)
		}
		return nil
	})
	require.NoError(h.T, err)
	return uuids
}

// TestFault76_NothingToReprocess: a file that cannot be ingested again stays completed,
// and the operator gets the reason.
func TestFault76_NothingToReprocess(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme, globex := h.AddServer("acme", nil), h.AddServer("globex", func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	acme.Write("there.bin", sandbox.Random(1000))
	acme.Write("other.bin", sandbox.Random(1001))
	acme.Write("changed.bin", sandbox.Random(1002))
	globex.Write("deleted.bin", sandbox.Random(1003))
	h.StartWorker()
	h.ScanAndWait()
	there, other := h.Completed(acme.Path("there.bin")), h.Completed(acme.Path("other.bin"))
	changed, deleted := h.Completed(acme.Path("changed.bin")), h.Completed(globex.Path("deleted.bin"))
	h.S3.Replace(t, other.ObjectKey, sandbox.Random(7))
	lose(h, changed)
	acme.Write("changed.bin", sandbox.Random(9))
	lose(h, deleted)
	h.AwaitIngest(deleted.UUID)

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
		err := reprocess(h, c.file)
		assert.Equal(t, c.kind, ingest.KindOf(err), "%v", err)
		assert.ErrorContains(t, err, c.reason)
		now, err := h.Store.File(h.Ctx, c.file.UUID)
		require.NoError(t, err)
		assert.Equal(t, c.file.Status, now.Status, c.reason)
		assert.Equal(t, c.file.Round, now.Round, c.reason)
		assert.Equal(t, c.file.ObjectKey, now.ObjectKey, c.reason)
	}
}

// TestFault76_OtherContentIsNotAnnounced: other content with the same size and time must
// not be notified under the message id of the earlier content.
func TestFault76_OtherContentIsNotAnnounced(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]func(*ingest.Server){"memory": sandbox.InMemory, "staged": sandbox.Staged, "direct": sandbox.Direct} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			acme := h.AddServer("acme", mode)
			content := sandbox.Random(20_000)
			acme.Write("a.bin", content)
			h.StartWorker()
			h.ScanAndWait()
			file := h.Completed(acme.Path("a.bin"))
			require.Len(t, h.AMQP.Messages(t), 1)
			lose(h, file)
			rewrite(t, acme.Path("a.bin"), sandbox.Random(20_001)[1:], file.ModTime)
			require.NoError(t, reprocess(h, file))
			failed := h.Parked(file.RemotePath)
			assert.Equal(t, ingest.KindHashMismatch, failed.ErrorKind)
			assert.Contains(t, failed.ErrorMessage, "differs from the content of its published notification")
			assert.Empty(t, h.AMQP.Messages(t), "no notification is published")

			rewrite(t, acme.Path("a.bin"), content, file.ModTime)
			ctx, ops := operator(h)
			_, err := ops.ActOnFile(ctx, file.UUID, operations.Retry, workflows.OperatorAction{Reason: "the partner restored it"})
			require.NoError(t, err)
			again(h, file)
			h.RequireExactlyOnce()
		})
	}
}

// rewrite replaces the content of a file and keeps its mtime.
func rewrite(t *testing.T, path string, content []byte, at time.Time) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	require.NoError(t, os.Chtimes(path, at, at))
}
