package operations

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// TestOrchestratorsConform runs one suite on Temporal without a worker and on fakeEngine, whose
// operator actions are scripted.
func TestOrchestratorsConform(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) Orchestrator{
		"fake": func(*testing.T) Orchestrator { return &fakeEngine{} },
		"Temporal": func(t *testing.T) Orchestrator {
			c, queue := services.Temporal(t)
			return orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return c, nil }, TaskQueue: queue}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := open(t)
			t.Run("scan", func(t *testing.T) { conformScan(t, engine) })
			t.Run("audit", func(t *testing.T) { conformAudit(t, engine) })
			t.Run("ingest", func(t *testing.T) { conformIngest(t, engine) })
		})
	}
}

// requireNoWorkflow checks the error for a workflow that does not exist. It is not that for a
// missing row of the ledger.
func requireNoWorkflow(t *testing.T, err error) {
	t.Helper()
	requireKind(t, ingest.KindMissing, err)
	require.False(t, ingest.IsMissingRow(err))
}

func conformScan(t *testing.T, engine Orchestrator) {
	ctx, id := t.Context(), temporalnames.ScanWorkflowID(uuid.NewString())
	_, err := engine.DescribeScan(ctx, id)
	requireNoWorkflow(t, err)
	_, err = engine.DescribeServer(ctx, uuid.NewString())
	requireNoWorkflow(t, err)

	in := workflows.ScanAllServersInput{Source: "manual", Servers: []string{uuid.NewString()}}
	run, err := engine.StartScan(ctx, id, in, time.Hour)
	require.NoError(t, err)
	again, err := engine.StartScan(ctx, id, in, 0)
	require.NoError(t, err)
	require.Equal(t, run, again, "one workflow per id")
	scan, err := engine.DescribeScan(ctx, id)
	require.NoError(t, err)
	require.Equal(t, run, scan.RunID)
	require.True(t, scan.Running, "also during the delay")
	require.True(t, scan.ClosedAt.IsZero())
	require.NoError(t, scan.Err)

	other, err := engine.StartScan(ctx, temporalnames.ScanWorkflowID(uuid.NewString()), in, time.Hour)
	require.NoError(t, err)
	require.NotEqual(t, run, other)
}

func conformAudit(t *testing.T, engine Orchestrator) {
	run := uuid.NewString()
	_, err := engine.AuditRunning(t.Context(), run)
	requireNoWorkflow(t, err)
	for range 2 { // the response of the first call may be lost
		require.NoError(t, engine.StartAudit(t.Context(), run))
	}
	running, err := engine.AuditRunning(t.Context(), run)
	require.NoError(t, err)
	require.True(t, running)
}

func conformIngest(t *testing.T, engine Orchestrator) {
	file := ingest.File{UUID: uuid.NewString(), ServerUUID: uuid.NewString(), ServerName: "acme", RemotePath: "/a", Size: 1}
	ctx := orchestrator.WithRequestKey(t.Context(), "ann k1")
	_, _, err := engine.IngestProgress(ctx, file.UUID)
	requireNoWorkflow(t, err)
	in := workflows.FileIngestInput{FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: 1}
	require.NoError(t, engine.StartIngest(ctx, file, in))
	requireKind(t, ingest.KindConflict, engine.StartIngest(ctx, file, in))
	_, known, err := engine.IngestProgress(ctx, file.UUID)
	require.NoError(t, err)
	require.False(t, known, "no step has started")
	accepted, err := engine.Accepted(ctx, file.UUID, workflows.UpdateRetry)
	require.NoError(t, err)
	require.False(t, accepted)
}
