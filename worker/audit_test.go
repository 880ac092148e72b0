package worker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// audit has everything compared and returns how it ended.
func (h *harbour) audit() (ingest.AuditRun, []ingest.AuditDifference) {
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
