package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// audit runs an audit of all servers and returns its record and discrepancies.
func (h *cluster) audit(t *testing.T) (ingest.AuditRun, []ingest.Discrepancy) {
	t.Helper()
	id := uuid.NewString()
	require.NoError(t, h.Store.AddAuditRun(h.Context(t), ingest.AuditRun{UUID: id, Actor: "ann"}))
	run, err := h.Temporal.ExecuteWorkflow(h.Context(t), client.StartWorkflowOptions{
		ID: temporalnames.AuditWorkflowID(id), TaskQueue: h.Queue,
	}, workflows.NameAuditServers, workflows.AuditServersInput{RunUUID: id})
	require.NoError(t, err)
	_ = run.Get(h.Context(t), nil) // the result is in the ledger
	h.record(t, "audit", temporalnames.AuditWorkflowID(id))
	ended, err := h.Store.AuditRun(h.Context(t), id)
	require.NoError(t, err)
	found, err := h.Store.ListDiscrepancies(h.Context(t), id, 0, 100)
	require.NoError(t, err)
	return ended, found
}

// failFirstAudit fails the first attempt after its first report, like a killed worker.
type failFirstAudit struct {
	activities.Auditor
	attempts *atomic.Int32
}

func (c failFirstAudit) Audit(ctx context.Context, servers []string, deep bool, report func(ingest.Discrepancy) error, progress func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	if c.attempts.Add(1) > 1 {
		return c.Auditor.Audit(ctx, servers, deep, report, progress)
	}
	if err := report(ingest.Discrepancy{Mark: "+", What: "reported by the failed attempt", Why: "x"}); err != nil {
		return ingest.AuditCounts{}, err
	}
	progress(ingest.AuditCounts{Files: 99, Extra: 1})
	return ingest.AuditCounts{}, ingest.Errorf(ingest.KindTransient, "connection reset")
}

func TestAudit(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	var attempts atomic.Int32
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Auditor = failFirstAudit{d.Auditor, &attempts}
		return d
	})
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.csv", []byte("a"))
	acme.Write(t, "b.csv", []byte("b"))
	h.ScanAndWait(t)
	lost := h.Completed(t, acme.Path("a.csv"))
	h.AwaitIngest(t, h.Completed(t, acme.Path("b.csv")).UUID)

	run, found := h.audit(t)
	require.Equal(t, ingest.AuditCompleted, run.State, run.Error)
	require.Empty(t, found, "the results of the failed attempt are discarded")
	require.EqualValues(t, 2, attempts.Load())
	assert.Equal(t, ingest.AuditCounts{Sources: 2, Files: 2, Objects: 2, Bytes: 2}, run.AuditCounts)

	require.NoError(t, h.S3.Core.RemoveObject(h.Context(t), h.S3.Bucket, lost.ObjectKey, minio.RemoveObjectOptions{}))
	run, found = h.audit(t)
	require.Equal(t, ingest.AuditCompleted, run.State, run.Error)
	require.Len(t, found, 1)
	assert.Equal(t, ingest.AuditMissing, found[0].Mark)
	assert.Equal(t, lost.UUID, found[0].FileUUID)
	assert.EqualValues(t, 1, run.Missing)
}

// failingAuditor always fails permanently.
type failingAuditor struct{}

func (failingAuditor) Audit(context.Context, []string, bool, func(ingest.Discrepancy) error, func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	return ingest.AuditCounts{}, ingest.Errorf(ingest.KindInvalid, "the object store refuses the key")
}

func TestAFailedAuditReportsTheReason(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Auditor = failingAuditor{}
		return d
	})
	run, _ := h.audit(t)
	require.Equal(t, ingest.AuditFailed, run.State)
	require.Contains(t, run.Error, "the object store refuses the key")
}

// blockingAuditor runs until it is cancelled.
type blockingAuditor struct{ begun, ended chan struct{} }

func (e blockingAuditor) Audit(ctx context.Context, _ []string, _ bool, _ func(ingest.Discrepancy) error, _ func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	e.begun <- struct{}{}
	<-ctx.Done()
	e.ended <- struct{}{}
	return ingest.AuditCounts{}, ctx.Err()
}

// TestATerminatedAuditDoesNotBlockTheNext: after its workflow is terminated, an audit
// is recorded as failed and another one can start immediately.
func TestATerminatedAuditDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	auditor := blockingAuditor{make(chan struct{}, 2), make(chan struct{}, 2)}
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Auditor = auditor
		return d
	})
	ops := operations.New(operations.Deps{
		Ledger: h.Store, NewUUID: uuid.NewString,
		Orchestrator: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue},
	})
	first, err := ops.StartAudit(h.Context(t), nil, false)
	require.NoError(t, err)
	<-auditor.begun
	_, err = ops.StartAudit(h.Context(t), nil, false)
	require.ErrorContains(t, err, "is running, and only one may run at a time")

	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.AuditWorkflowID(first.UUID), "", "too long"))
	second, err := ops.StartAudit(h.Context(t), nil, false)
	require.NoError(t, err)
	ended, err := ops.GetAudit(h.Context(t), first.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditFailed, ended.State)
	require.Contains(t, ended.Error, "ended from outside")
	<-auditor.begun
	<-auditor.ended // the first attempt was cancelled

	require.NoError(t, h.Temporal.TerminateWorkflow(h.Context(t), temporalnames.AuditWorkflowID(second.UUID), "", "too long"))
	page, err := ops.ListAudits(h.Context(t), 0, 10)
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.Equal(t, ingest.AuditFailed, page.Items[0].State, "listing detects it, without a new audit")
	<-auditor.ended

	lost := uuid.NewString() // recorded, but its workflow was never started
	require.NoError(t, h.Store.AddAuditRun(h.Context(t), ingest.AuditRun{UUID: lost, Actor: "ann"}))
	run, err := ops.GetAudit(h.Context(t), lost)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditRunning, run.State, "the workflow of the audit may still start")
	later := operations.New(operations.Deps{
		Ledger: h.Store, NewUUID: uuid.NewString, Now: func() time.Time { return time.Now().Add(2 * time.Minute) },
		Orchestrator: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue},
	})
	run, err = later.GetAudit(h.Context(t), lost)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditFailed, run.State)
}
