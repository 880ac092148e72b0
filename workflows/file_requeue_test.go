package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// expectRequeue mocks the step that makes the file ready again.
func expectRequeue(env *testsuite.TestWorkflowEnvironment, ok func(activities.RequeueFileInput) bool) {
	env.OnActivity(activities.NameRequeueFile, mock.Anything, mock.MatchedBy(func(in activities.RequeueFileInput) bool {
		return in.FileUUID == fileUUID && in.Key != "" && ok(in)
	})).Return(activities.Outcome{Status: ingest.StatusReady}, nil).Once()
}

func expectSlotFreed(env *testsuite.TestWorkflowEnvironment) {
	env.OnSignalExternalWorkflow(mock.Anything, ingest.DiscoverWorkflowID(serverUUID), "", workflows.SignalSlotFreed,
		mock.Anything).Return(nil).Once()
}

// TestFileIngestGivesItsPlaceAwayWhenItCannotBeFetched: a file that its server
// does not give must not keep others of the server waiting.
func TestFileIngestGivesItsPlaceAwayWhenItCannotBeFetched(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameDownload, mock.Anything, mock.Anything).
		Return(activities.DownloadResult{}, failure(ingest.KindTransient)).Times(10)
	expectRequeue(env, func(in activities.RequeueFileInput) bool {
		return in.Deferred != nil && in.Deferred.Step == ingest.StepDownload && in.Deferred.Kind == ingest.KindTransient &&
			in.Deferred.Message == "it failed: transient" && in.Attempts == 10
	})
	expectSlotFreed(env)
	expectTransfer(env)
	expectSearch(env, ingest.StatusReady)
	began := env.Now()

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusReady, result(t, env))
	assert.Less(t, env.Now().Sub(began), 10*time.Minute)
}

// TestFileIngestWaitsForRoomWithoutKeepingItsPlace: as long as no worker has room.
func TestFileIngestWaitsForRoomWithoutKeepingItsPlace(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameClaimHost, mock.Anything, mock.Anything).
		Return(activities.Host{}, failure(ingest.KindStagingFull)).Times(11) // the local try and a round
	expectRequeue(env, func(in activities.RequeueFileInput) bool {
		return in.Deferred != nil && in.Deferred.Kind == ingest.KindStagingFull
	})
	expectSlotFreed(env)
	expectSearch(env, ingest.StatusReady)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusReady, result(t, env))
}

// TestFileIngestKeepsItsPlaceWhileBytesComeIn: a line that is cut again and
// again is slow, not dead.
func TestFileIngestKeepsItsPlaceWhileBytesComeIn(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	tries := 0
	env.OnActivity(activities.NameDownload, mock.Anything, mock.Anything).Return(func(context.Context, activities.DownloadInput) (activities.DownloadResult, error) {
		if tries++; tries <= 35 {
			return activities.DownloadResult{}, temporal.NewApplicationErrorWithOptions("cut", string(ingest.KindTransient),
				temporal.ApplicationErrorOptions{Details: []any{activities.Advance{Advanced: true}}})
		}
		return activities.DownloadResult{}, nil
	})
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, 36, tries)
}

// TestFileIngestRetriedFromDownloadWaitsForItsTurn: a thousand files that are
// retried at once must not all be fetched at once.
func TestFileIngestRetriedFromDownloadWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameDownload, mock.Anything, mock.Anything).
		Return(activities.DownloadResult{}, failure(ingest.KindPermission)).Once()
	expect(env, activities.NameParkFile, activities.Outcome{Status: ingest.StatusError}).Once()
	expect(env, activities.NameResumeFile, activities.Outcome{Status: ingest.StatusReady}).Once()
	expectRequeue(env, func(in activities.RequeueFileInput) bool { return in.Deferred == nil })
	expectSlotFreed(env)
	expectTransfer(env)
	expectSearch(env, ingest.StatusError, ingest.StatusReady, ingest.StatusReady)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.UpdateRetry, workflows.Decision{Actor: "ann"}) }, time.Hour)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusReady, result(t, env))
}

// TestFileIngestDoesTheAfterIngestActionOnceItsServerIsMended: a partner counts
// on it, however long their server refuses us.
func TestFileIngestDoesTheAfterIngestActionOnceItsServerIsMended(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	expect(env, activities.NameNotify, activities.NotifyResult{SourceAction: true})
	expectTransfer(env)
	calls, mended := 0, false
	env.OnActivity(activities.NameAfterIngest, mock.Anything, mock.Anything).Return(func(context.Context, activities.AfterIngestInput) error {
		switch calls++; {
		case !mended:
			return failure(ingest.KindAuth)
		case calls <= 8:
			return failure(ingest.KindTransient)
		default:
			return nil
		}
	})
	env.OnActivity(activities.NameAwaitServer, mock.Anything, mock.Anything).Return(func(context.Context, activities.AwaitServerInput) error {
		mended = true
		return nil
	}).Once()
	expectSlotFreed(env)
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, 9, calls)
}

// TestFileIngestAsksAnOperatorWhereOnlyADownloadMayVanish: what is said of a
// checksum file is not said of the file.
func TestFileIngestAsksAnOperatorWhereOnlyADownloadMayVanish(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameVerifyHash, mock.Anything, mock.Anything).Return(failure(ingest.KindChanged)).Once()
	env.OnActivity(activities.NameParkFile, mock.Anything, mock.MatchedBy(func(in activities.ParkFileInput) bool {
		return in.Step == ingest.StepVerify && in.Kind == ingest.KindChanged
	})).Return(activities.Outcome{Status: ingest.StatusError}, nil).Once()
	expect(env, activities.NameResumeFile, activities.Outcome{Status: ingest.StatusSkipped}).Once()
	env.OnActivity(activities.NameDiscardStaged, mock.Anything, mock.Anything).Return(nil).Once()
	expectSlotFreed(env)
	expectTransfer(env)
	expectSearch(env, ingest.StatusError, ingest.StatusSkipped)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.UpdateSkip, workflows.Decision{Actor: "ann"}) }, time.Hour)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusSkipped, result(t, env))
}

// TestReconcileGoesOnWhereARunEnded: however many files wait rightly, those
// after them are looked at, too.
func TestReconcileGoesOnWhereARunEnded(t *testing.T) {
	t.Parallel()
	const pages = 120
	seen := 0
	var in workflows.ReconcileInput
	for runs := 1; ; runs++ {
		env := newEnv(t)
		env.OnActivity(activities.NameFindStranded, mock.Anything, mock.Anything).Return(
			func(_ context.Context, in activities.FindStrandedInput) (activities.FindStrandedResult, error) {
				assert.Equal(t, int64(seen), in.AfterID)
				seen++
				return activities.FindStrandedResult{AfterID: int64(seen), More: seen < pages, Requeued: 1}, nil
			})
		expect(env, activities.NameListHosts, activities.ListHostsResult{}).Maybe()
		expect(env, activities.NameSweepUploads, activities.SweepResult{}).Maybe()
		expect(env, activities.NameCheckObjects, activities.CheckObjectsResult{}).Maybe()
		env.OnActivity(activities.NameRecordReconciliation, mock.Anything, mock.Anything).Return(nil).Maybe()
		env.ExecuteWorkflow(workflows.NameReconcile, in)
		var next *workflow.ContinueAsNewError
		if !assert.LessOrEqual(t, runs, 10) || !errors.As(env.GetWorkflowError(), &next) {
			var found ingest.Reconciliation
			assert.NoError(t, env.GetWorkflowResult(&found))
			assert.Equal(t, int64(pages), found.Requeued)
			break
		}
		in = workflows.ReconcileInput{}
		assert.NoError(t, payloads(next, &in))
	}
	assert.Equal(t, pages, seen)
}
