package operations

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// stuckEngine is Temporal without a worker: actions return when the context ends.
type stuckEngine struct{ *fakeEngine }

func (stuckEngine) Act(ctx context.Context, _, _ string, _ workflows.OperatorAction) error {
	<-ctx.Done()
	return ingest.Errorf(ingest.KindTransient, "Temporal does not answer: %s", ctx.Err())
}

// setupWorker returns a bundle whose check of workers returns the result of down.
func setupWorker(down func() error) *bundle {
	b := setup()
	b.ledger.files = []ingest.File{{ID: 1, UUID: "uuid-1", RemotePath: "/in/a.csv", Status: ingest.StatusError}}
	deps := b.d
	deps.Orchestrator = stuckEngine{b.engine}
	deps.Checks = []Check{{Part: PartWorker, Run: func(context.Context) error { return down() }}}
	b.Service = New(deps)
	return b
}

const (
	startWorker = "no worker: start one with `stevedore worker`"
	mayStillRun = "; the action may still be carried out: check the status of the file before you repeat it"
)

func TestRequestsReportThatNoWorkerRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := setupWorker(func() error { // the heartbeat becomes too old while the request waits
			if time.Since(began) < 20*time.Second {
				return nil
			}
			return ingest.Wrap(ingest.KindTransient, orchestrator.ErrNoWorker, startWorker)
		})
		for _, action := range []ingest.Action{ingest.ActionRetry, ingest.ActionSkip} {
			_, err := b.ActOnFile(t.Context(), "uuid-1", action, workflows.OperatorAction{})
			require.EqualError(t, err, map[bool]string{true: startWorker + mayStillRun, false: startWorker}[action == ingest.ActionRetry], action)
			require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
		}
		// Temporal keeps the first action, which was sent. The second one was not.
		require.Equal(t, ingest.ActionUnknown, b.ledger.audited[0].Outcome)
		require.Equal(t, ingest.ActionFailed, b.ledger.audited[1].Outcome)
		assert.Less(t, time.Since(began), 27*time.Second)
		b.engine.scan = orchestrator.Execution{Running: true}
		scan, err := b.GetScan(t.Context(), "x")
		require.NoError(t, err)
		assert.Equal(t, ScanRunning, scan.State)
		require.EqualError(t, scan.Err, startWorker)
		_, err = b.StartAudit(t.Context(), nil, false)
		require.EqualError(t, err, startWorker)
	})
}

func TestALeavingCallerIsNotAMissingWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupWorker(func() error { return ingest.Errorf(ingest.KindTransient, "Temporal does not answer") })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := b.ActOnFile(ctx, "uuid-1", ingest.ActionRetry, workflows.OperatorAction{})
		require.ErrorContains(t, err, "Temporal does not answer")
	})
}
