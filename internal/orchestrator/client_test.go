package orchestrator_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// failedIngest is a Client of a real Temporal server with a file that fails immediately.
// Its operator action is recorded in the ledger when resume is closed.
type failedIngest struct {
	orchestrator.Client
	client client.Client
	file   ingest.File
	resume chan struct{}
}

func newFailedIngest(t *testing.T) *failedIngest {
	t.Helper()
	c, queue := services.Temporal(t)
	p := &failedIngest{
		Client: orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return c, nil }, TaskQueue: queue},
		client: c, resume: make(chan struct{}),
		file: ingest.File{UUID: uuid.NewString(), ServerUUID: uuid.NewString(), ServerName: "acme", RemotePath: "/in/a.csv", Size: 1, Status: ingest.StatusReady},
	}
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(workflows.FileIngest, workflow.RegisterOptions{Name: workflows.NameFileIngest})
	register := func(name string, fn any) { w.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name}) }
	register(activities.NameClaimHost, func(context.Context, activities.ClaimHostInput) (activities.Host, error) {
		return activities.Host{}, temporal.NewNonRetryableApplicationError("no host has room", string(ingest.KindConflict), nil)
	})
	register(activities.NameRecordFailure, func(context.Context, activities.RecordFailureInput) (activities.Outcome, error) {
		return activities.Outcome{Status: ingest.StatusError}, nil
	})
	register(activities.NameResumeFile, func(ctx context.Context, _ activities.ResumeFileInput) (activities.Outcome, error) {
		select {
		case <-p.resume:
		case <-ctx.Done():
			return activities.Outcome{}, ctx.Err()
		}
		return activities.Outcome{Status: ingest.StatusSkipped}, nil
	})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.StartIngest(ctx, p.file, workflows.FileIngestInput{FileUUID: p.file.UUID, ServerUUID: p.file.ServerUUID, Size: 1, Slot: 1}))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		value, err := c.QueryWorkflow(ctx, temporalnames.IngestWorkflowID(p.file.UUID), "", workflows.QueryStatus)
		var status workflows.IngestStatus
		if err == nil && value.Get(&status) == nil && status.Failure != nil {
			return p
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.NoError(t, err, "the file has not failed")
			t.Fatal("the file has not failed")
		}
	}
}

// TestARepeatedRequestIsOneAction: a request that is sent again has the same result;
// another one is ErrActionPending.
func TestARepeatedRequestIsOneAction(t *testing.T) {
	t.Parallel()
	p := newFailedIngest(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	by := workflows.OperatorAction{Actor: "ann", Reason: "sent by mistake"}
	keyed := orchestrator.WithRequestKey(ctx, "ann k1")
	accepted, err := p.Accepted(keyed, p.file.UUID, workflows.UpdateSkip)
	require.NoError(t, err)
	require.False(t, accepted)
	require.NoError(t, p.Act(keyed, p.file.UUID, workflows.UpdateSkip, by))
	require.NoError(t, p.Act(keyed, p.file.UUID, workflows.UpdateSkip, by), "the same request")

	err = p.Act(ctx, p.file.UUID, workflows.UpdateSkip, by)
	require.ErrorIs(t, err, orchestrator.ErrActionPending)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
	require.ErrorIs(t, p.Act(orchestrator.WithRequestKey(ctx, "ann k2"), p.file.UUID, workflows.UpdateSkip, by), orchestrator.ErrActionPending)

	close(p.resume)
	require.NoError(t, p.client.GetWorkflow(ctx, temporalnames.IngestWorkflowID(p.file.UUID), "").Get(ctx, nil))
	accepted, err = p.Accepted(keyed, p.file.UUID, workflows.UpdateSkip)
	require.NoError(t, err)
	require.True(t, accepted, "after the end of the workflow")
	accepted, err = p.Accepted(orchestrator.WithRequestKey(ctx, "ann k3"), p.file.UUID, workflows.UpdateSkip)
	require.NoError(t, err)
	require.False(t, accepted)
	accepted, err = p.Accepted(ctx, p.file.UUID, workflows.UpdateSkip)
	require.NoError(t, err)
	require.False(t, accepted, "without a key")
}
