package worker_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

func TestRenotifyKeepsTheMessageID(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.csv", sandbox.Random(100))
	h.ScanAndWait(t)
	file := h.Completed(t, acme.Path("a.csv"))
	h.AwaitIngest(t, file.UUID)
	first := h.AMQP.Messages(t)

	run, err := h.Temporal.ExecuteWorkflow(h.Context(t), client.StartWorkflowOptions{
		ID: temporalnames.IngestWorkflowID(file.UUID), TaskQueue: h.Queue,
	}, workflows.NameFileIngest, workflows.FileIngestInput{
		FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size,
		Renotify: &workflows.OperatorAction{Actor: "ann", Reason: "the consumer lost its queue"},
	})
	require.NoError(t, err)
	require.NoError(t, run.Get(h.Context(t), nil))
	assert.Equal(t, first, h.AMQP.Messages(t))
	assert.Equal(t, "renotify", sandbox.Detail(h.Events(t, file.UUID), ingest.EventOperatorAction, "action"))
	assert.Equal(t, "ann", sandbox.Detail(h.Events(t, file.UUID), ingest.EventOperatorAction, "actor"))
}

// failTwo brings two files into status error by wrong checksum files, then corrects
// the checksum files.
func failTwo(t *testing.T, h *cluster) (paths []string) { return failTwoOn(t, h, "acme") }

func failTwoOn(t *testing.T, h *cluster, server string) (paths []string) {
	t.Helper()
	acme := h.AddServer(t, server, nil)
	for _, name := range []string{"a.csv", "b.csv"} {
		acme.Write(t, name, sandbox.Random(100))
		acme.Write(t, name+".sha256", []byte(sandbox.Digest([]byte("other"))+"  "+name+"\n"))
		paths = append(paths, acme.Path(name))
	}
	h.Scan(t)
	for _, path := range paths {
		h.Failed(t, path)
	}
	for _, name := range []string{"a.csv", "b.csv"} {
		acme.Write(t, name+".sha256", []byte(sandbox.Digest(sandbox.Random(100))+"  "+name+"\n"))
	}
	return paths
}

// TestASignalFromTheTemporalCLIActs sends the signal of `temporal workflow signal --name
// retry`, with and without input.
func TestASignalFromTheTemporalCLIActs(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	paths := failTwo(t, h)
	a, b := h.Failed(t, paths[0]), h.Failed(t, paths[1])
	require.NoError(t, h.Temporal.SignalWorkflow(h.Context(t), temporalnames.IngestWorkflowID(a.UUID), "", workflows.UpdateRetry, nil))
	require.NoError(t, h.Temporal.SignalWorkflow(h.Context(t), temporalnames.IngestWorkflowID(b.UUID), "", workflows.UpdateSkip,
		map[string]string{"actor": "ann", "reason": "not needed"}))
	h.Completed(t, paths[0])
	h.File(t, paths[1], func(f ingest.File) bool { return f.Status == ingest.StatusSkipped })
	assert.Equal(t, "signal", sandbox.Detail(h.Events(t, a.UUID), ingest.EventOperatorAction, "actor"))
	assert.Equal(t, "not needed", sandbox.Detail(h.Events(t, b.UUID), ingest.EventOperatorAction, "reason"))

	// The actor was not authenticated: ledger and audit log mark it as unverified.
	assert.Equal(t, false, sandbox.Detail(h.Events(t, b.UUID), ingest.EventOperatorAction, "verified"))
	entries, err := h.Store.AuditLog(h.Context(t), ingest.AuditFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	for _, entry := range entries {
		assert.Equal(t, ingest.Unverified, entry.Actor)
		assert.Equal(t, false, entry.Details["verified"])
	}
}

// TestAnAuditEntryVerifiesOneAction: the API writes an audit entry before it sends an
// operator action, and that entry verifies the actor. Its key, which is visible in the
// workflow's history, cannot be used a second time.
func TestAnAuditEntryVerifiesOneAction(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	paths := failTwo(t, h)
	a, b := h.Failed(t, paths[0]), h.Failed(t, paths[1])
	entry := ingest.AuditEntry{Key: uuid.NewString(), Actor: "ann", Role: ingest.RoleOperator, Action: "file.retry", Target: a.UUID}
	require.NoError(t, h.Store.Record(h.Context(t), entry))
	decision := workflows.OperatorAction{Actor: "ann", Reason: "again", Entry: entry.Key}
	verified := func(f ingest.File) any {
		return sandbox.LastDetail(h.Events(t, f.UUID), ingest.EventOperatorAction, "verified")
	}

	require.NoError(t, h.SendUpdate(t, b.UUID, workflows.UpdateSkip, decision))
	h.File(t, paths[1], func(f ingest.File) bool { return f.Status == ingest.StatusSkipped })
	assert.Equal(t, false, verified(b), "the entry is about another file and action")

	require.NoError(t, h.SendUpdate(t, a.UUID, workflows.UpdateRetry, decision))
	h.Completed(t, paths[0])
	assert.Equal(t, true, verified(a))
	valid, err := h.Store.VerifyAction(h.Context(t), a.UUID, ingest.OperatorAction{Action: ingest.ActionRetry, Actor: "ann", Entry: entry.Key, Key: "another run"})
	require.NoError(t, err)
	assert.False(t, valid, "an entry is used once")
	valid, err = h.Store.VerifyAction(h.Context(t), a.UUID, ingest.OperatorAction{Action: ingest.ActionRetry, Actor: "eve", Entry: entry.Key, Key: "a third"})
	require.NoError(t, err)
	assert.False(t, valid)
}

func TestInvalidOperatorActionsAreRefused(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorker(t)
	file := h.Failed(t, failTwo(t, h)[0])
	for message, d := range map[string]struct {
		update   string
		decision workflows.OperatorAction
	}{
		"actor: required":              {workflows.UpdateRetry, workflows.OperatorAction{}},
		"failed at step verify":        {workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", From: ingest.StepUpload}},
		"no notification to publish":   {workflows.UpdateRenotify, workflows.OperatorAction{Actor: "ann"}},
		"use one of [download verify]": {workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", From: "lunch"}},
	} {
		assert.ErrorContains(t, h.SendUpdate(t, file.UUID, d.update, d.decision), message)
	}
	assert.False(t, slices.ContainsFunc(h.Events(t, file.UUID), func(e ingest.StoredEvent) bool { return e.Type == ingest.EventOperatorAction }))
	assert.Error(t, h.SendUpdate(t, uuid.NewString(), workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"}), "no such file")
}
