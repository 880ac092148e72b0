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
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// audit has everything compared and returns how it ended.
func (h *cluster) audit() (ingest.AuditRun, []ingest.AuditDifference) {
	h.T.Helper()
	id := uuid.NewString()
	require.NoError(h.T, h.Store.AddAuditRun(h.Ctx, ingest.AuditRun{UUID: id, Actor: "ann"}))
	run, err := h.Temporal.ExecuteWorkflow(h.Ctx, client.StartWorkflowOptions{
		ID: ingest.AuditWorkflowID(id), TaskQueue: h.Queue,
	}, workflows.NameAuditServers, workflows.AuditServersInput{RunUUID: id})
	require.NoError(h.T, err)
	_ = run.Get(h.Ctx, nil) // how it ended is in the ledger
	h.record("audit", ingest.AuditWorkflowID(id))
	ended, err := h.Store.AuditRun(h.Ctx, id)
	require.NoError(h.T, err)
	found, err := h.Store.AuditDifferences(h.Ctx, id, 0, 100)
	require.NoError(h.T, err)
	return ended, found
}

// cutShort ends the first audit in the middle, as the death of a worker does.
type cutShort struct {
	activities.Auditor
	attempts *atomic.Int32
}

func (c cutShort) Audit(ctx context.Context, servers []string, deep bool, report func(ingest.AuditDifference) error, progress func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	if c.attempts.Add(1) > 1 {
		return c.Auditor.Audit(ctx, servers, deep, report, progress)
	}
	if err := report(ingest.AuditDifference{Mark: "+", What: "of the attempt that is cut short", Why: "x"}); err != nil {
		return ingest.AuditCounts{}, err
	}
	progress(ingest.AuditCounts{Files: 99, Extra: 1})
	return ingest.AuditCounts{}, ingest.Errorf(ingest.KindTransient, "the line was cut")
}

func TestAuditsAreCarriedOut(t *testing.T) {
	t.Parallel()
	h := newHarbour(t)
	var attempts atomic.Int32
	h.StartWorkerWith(h.Cfg, func(d activities.Deps) activities.Deps {
		d.Auditor = cutShort{d.Auditor, &attempts}
		return d
	})
	acme := h.AddServer("acme", nil)
	acme.Write("a.csv", []byte("a"))
	acme.Write("b.csv", []byte("b"))
	h.ScanAndWait()
	lost := h.Completed(acme.Path("a.csv"))
	h.AwaitIngest(h.Completed(acme.Path("b.csv")).UUID)

	run, found := h.audit()
	require.Equal(t, ingest.AuditCompleted, run.State, run.Error)
	require.Empty(t, found, "what the attempt that was cut short found is gone")
	require.EqualValues(t, 2, attempts.Load())
	assert.Equal(t, ingest.AuditCounts{Sources: 2, Files: 2, Objects: 2, Bytes: 2}, run.AuditCounts)

	require.NoError(t, h.S3.Core.RemoveObject(h.Ctx, h.S3.Bucket, lost.ObjectKey, minio.RemoveObjectOptions{}))
	run, found = h.audit()
	require.Equal(t, ingest.AuditCompleted, run.State, run.Error)
	require.Len(t, found, 1)
	assert.Equal(t, ingest.AuditMissing, found[0].Mark)
	assert.Equal(t, lost.UUID, found[0].FileUUID)
	assert.EqualValues(t, 1, run.Missing)
}

// broken cannot compare anything.
type broken struct{}

func (broken) Audit(context.Context, []string, bool, func(ingest.AuditDifference) error, func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	return ingest.AuditCounts{}, ingest.Errorf(ingest.KindInvalid, "the object store refuses the key")
}

func TestAnAuditThatCannotBeSaysWhy(t *testing.T) {
	t.Parallel()
	h := newHarbour(t)
	h.StartWorkerWith(h.Cfg, func(d activities.Deps) activities.Deps {
		d.Auditor = broken{}
		return d
	})
	run, _ := h.audit()
	require.Equal(t, ingest.AuditFailed, run.State)
	require.Contains(t, run.Error, "the object store refuses the key")
}

// endless compares until it is told to stop.
type endless struct{ begun, ended chan struct{} }

func (e endless) Audit(ctx context.Context, _ []string, _ bool, _ func(ingest.AuditDifference) error, _ func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	e.begun <- struct{}{}
	<-ctx.Done()
	e.ended <- struct{}{}
	return ingest.AuditCounts{}, ctx.Err()
}

// TestATerminatedAuditBlocksNoOther: whoever terminates an audit's workflow may start
// another one at once, and the record says what became of the first.
func TestATerminatedAuditBlocksNoOther(t *testing.T) {
	t.Parallel()
	h := newHarbour(t)
	auditor := endless{make(chan struct{}, 2), make(chan struct{}, 2)}
	h.StartWorkerWith(h.Cfg, func(d activities.Deps) activities.Deps {
		d.Auditor = auditor
		return d
	})
	ops := admin.New(admin.Deps{
		Ledger: admin.Opened[admin.Ledger](h.Store), NewUUID: uuid.NewString,
		Engine: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue},
	})
	first, err := ops.StartAudit(h.Ctx, nil, false)
	require.NoError(t, err)
	<-auditor.begun
	_, err = ops.StartAudit(h.Ctx, nil, false)
	require.ErrorContains(t, err, "is running, and one runs at a time", "it does run")

	require.NoError(t, h.Temporal.TerminateWorkflow(h.Ctx, ingest.AuditWorkflowID(first.UUID), "", "too long"))
	second, err := ops.StartAudit(h.Ctx, nil, false)
	require.NoError(t, err)
	ended, err := ops.ShowAudit(h.Ctx, first.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditFailed, ended.State)
	require.Contains(t, ended.Error, "ended from outside")
	<-auditor.begun
	<-auditor.ended // the first one's worker has noticed

	require.NoError(t, h.Temporal.TerminateWorkflow(h.Ctx, ingest.AuditWorkflowID(second.UUID), "", "too long"))
	page, err := ops.ListAudits(h.Ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, page.Runs, 2)
	require.Equal(t, ingest.AuditFailed, page.Runs[0].State, "the list says so without another one being started")
	<-auditor.ended

	lost := uuid.NewString() // its process died before the workflow was started
	require.NoError(t, h.Store.AddAuditRun(h.Ctx, ingest.AuditRun{UUID: lost, Actor: "ann"}))
	run, err := ops.ShowAudit(h.Ctx, lost)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditRunning, run.State, "its workflow may be about to start")
	later := admin.New(admin.Deps{
		Ledger: admin.Opened[admin.Ledger](h.Store), NewUUID: uuid.NewString, Now: func() time.Time { return time.Now().Add(2 * time.Minute) },
		Engine: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue},
	})
	run, err = later.ShowAudit(h.Ctx, lost)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditFailed, run.State)
}
