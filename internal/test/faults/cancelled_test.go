package faults_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

// TestAFileWhoseWorkflowWasEndedIsRetried ends workflows in Temporal's own tools, while the
// file is transferred and while it waits for an operator. The file shows why, and a retry
// continues it without waiting for the reconciliation.
func TestAFileWhoseWorkflowWasEndedIsRetried(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	slow, proxy := slowServer(t, h, "slow", 32)
	slow.Write(t, "cancelled.bin", sandbox.Random(8<<20))
	acme := h.AddServer(t, "acme", sandbox.Staged)
	content := sandbox.Random(1000)
	for _, name := range []string{"cancelled.bin", "terminated.bin"} {
		acme.Write(t, name, content)
		acme.Write(t, name+".sha256", []byte(sandbox.Digest([]byte("other"))+"  "+name+"\n"))
	}
	h.StartWorker(t)
	h.Scan(t)

	inFlight := h.File(t, slow.Path("cancelled.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	endWorkflow(t, h, inFlight, h.Temporal.CancelWorkflow)
	inFlight = h.Failed(t, inFlight.RemotePath)
	assert.Equal(t, ingest.KindCancelled, inFlight.ErrorKind)
	cancelled, terminated := h.Failed(t, acme.Path("cancelled.bin")), h.Failed(t, acme.Path("terminated.bin"))
	endWorkflow(t, h, cancelled, h.Temporal.CancelWorkflow)
	endWorkflow(t, h, terminated, func(ctx context.Context, id, run string) error {
		return h.Temporal.TerminateWorkflow(ctx, id, run, "test")
	})

	proxy.RemoveToxic(t, "bandwidth")
	for _, name := range []string{"cancelled.bin", "terminated.bin"} {
		acme.Write(t, name+".sha256", []byte(sandbox.Digest(content)+"  "+name+"\n"))
	}
	ctx, ops := operator(t, h)
	for _, file := range []ingest.File{inFlight, cancelled, terminated} {
		_, err := ops.ActOnFile(ctx, file.UUID, ingest.ActionRetry, workflows.OperatorAction{Reason: "ended by mistake", From: ingest.FirstStep(file.Mode)})
		require.NoError(t, err)
		h.Completed(t, file.RemotePath)
	}
	h.RequireExactlyOnce(t)
}

// endWorkflow ends the file's workflow and waits until it is closed.
func endWorkflow(t *testing.T, h *sandbox.Cluster, file ingest.File, end func(ctx context.Context, workflowID, runID string) error) {
	t.Helper()
	id := temporalnames.IngestWorkflowID(file.UUID)
	require.NoError(t, end(h.Context(t), id, ""))
	_ = h.Temporal.GetWorkflow(h.Context(t), id, "").Get(h.Context(t), nil) // its error is the end itself
}
