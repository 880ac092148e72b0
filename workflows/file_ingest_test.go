package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

var aHost = activities.Host{Queue: hostQueue, Timeout: 5 * time.Minute}

func ingestInput() workflows.FileIngestInput {
	return workflows.FileIngestInput{FileUUID: fileUUID, ServerUUID: serverUUID, Size: 100}
}

// expectSearch lets the workflow set its status attribute to the values, in order.
func expectSearch(env *testsuite.TestWorkflowEnvironment, statuses ...ingest.Status) {
	key := temporal.NewSearchAttributeKeyKeyword(ingest.SearchStatus)
	for _, s := range statuses {
		env.OnUpsertTypedSearchAttributes(temporal.NewSearchAttributes(key.ValueSet(string(s)))).Return(nil).Once()
	}
}

func result(t *testing.T, env *testsuite.TestWorkflowEnvironment) ingest.Status {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var r workflows.FileIngestResult
	require.NoError(t, env.GetWorkflowResult(&r))
	return r.Status
}

func TestFileIngestGoesStepByStep(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var order []string
	env.SetOnActivityStartedListener(func(info *activityInfo, _ context.Context, _ encoded) {
		order = append(order, info.ActivityType.Name)
	})
	env.SetOnLocalActivityStartedListener(func(info *activityInfo, _ context.Context, _ []any) {
		order = append(order, "local "+info.ActivityType.Name)
	})
	expect(env, activities.NameClaimHost, aHost).Once()
	expect(env, activities.NameDownload, activities.DownloadResult{}).Once()
	env.OnActivity(activities.NameVerifyHash, mock.Anything, activities.VerifyHashInput{FileUUID: fileUUID, HostQueue: hostQueue}).Return(nil).Once()
	env.OnActivity(activities.NameUpload, mock.Anything, mock.Anything).Return(nil).Once()
	expect(env, activities.NameNotify, activities.NotifyResult{}).Once()
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{"local ClaimHost", "Download", "local VerifyHash", "Upload", "local Notify"}, order)
}

func TestFileIngestVerifiesLargeFilesOnTheHost(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	in := ingestInput()
	in.Size = 300 << 20
	var queues []string
	env.SetOnActivityStartedListener(func(info *activityInfo, _ context.Context, _ encoded) {
		queues = append(queues, info.ActivityType.Name+"@"+info.TaskQueue)
	})
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, in)

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{"Download@" + hostQueue, "VerifyHash@" + hostQueue + "-uploads", "Upload@" + hostQueue + "-uploads"}, queues)
}

// expectTransfer mocks a way without trouble, for what a test did not mock before.
func expectTransfer(env *testsuite.TestWorkflowEnvironment) {
	expect(env, activities.NameClaimHost, aHost).Maybe()
	expect(env, activities.NameDownload, activities.DownloadResult{}).Maybe()
	env.OnActivity(activities.NameVerifyHash, mock.Anything, mock.Anything).Return(nil).Maybe()
	env.OnActivity(activities.NameUpload, mock.Anything, mock.Anything).Return(nil).Maybe()
	expect(env, activities.NameNotify, activities.NotifyResult{}).Maybe()
}

func TestFileIngestFallsBackToVisibleAttempts(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	var attempts []int32
	env.SetOnActivityStartedListener(func(info *activityInfo, _ context.Context, _ encoded) {
		if info.ActivityType.Name == activities.NameNotify {
			attempts = append(attempts, info.Attempt)
		}
	})
	calls := 0
	env.OnActivity(activities.NameNotify, mock.Anything, mock.Anything).Return(func(context.Context, activities.NotifyInput) (activities.NotifyResult, error) {
		if calls++; calls <= 3 { // the local try and two ordinary ones
			return activities.NotifyResult{}, failure(ingest.KindTransient)
		}
		return activities.NotifyResult{}, nil
	})
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []int32{1, 2, 3}, attempts)
}

// TestFileIngestGivesItsPlaceAwayWhileTheBrokerIsDown: a dead broker must not
// stop the transfers of other files.
func TestFileIngestGivesItsPlaceAwayWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	tries, freedAfter := 0, 0
	env.OnActivity(activities.NameNotify, mock.Anything, mock.Anything).Return(func(context.Context, activities.NotifyInput) (activities.NotifyResult, error) {
		if tries++; tries <= 8 {
			return activities.NotifyResult{}, failure(ingest.KindTransient)
		}
		return activities.NotifyResult{}, nil
	})
	env.OnSignalExternalWorkflow(mock.Anything, ingest.DiscoverWorkflowID(serverUUID), "", workflows.SignalSlotFreed,
		workflows.SlotFreed{FileUUID: fileUUID}).Return(func(string, string, string, string, any) error {
		freedAfter = tries
		return nil
	}).Once()
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, 9, tries)
	assert.Less(t, freedAfter, 6, "within seconds")
}

func TestFileIngestRunsTheAfterIngestAction(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	expect(env, activities.NameNotify, activities.NotifyResult{SourceAction: true})
	expectTransfer(env)
	env.OnActivity(activities.NameAfterIngest, mock.Anything, mock.Anything).Return(failure(ingest.KindPermission)).Once()
	expectSearch(env, ingest.StatusCompleted)

	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env), "a failing action does not undo a safe file")
}

func TestFileIngestEndsWhenTheVersionIsGone(t *testing.T) {
	t.Parallel()
	for kind, status := range map[ingest.Kind]ingest.Status{
		ingest.KindNotFound: ingest.StatusVanished,
		ingest.KindChanged:  ingest.StatusSuperseded,
	} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			expect(env, activities.NameClaimHost, aHost)
			env.OnActivity(activities.NameDownload, mock.Anything, mock.Anything).Return(activities.DownloadResult{}, failure(kind)).Once()
			env.OnActivity(activities.NameCloseFile, mock.Anything, mock.MatchedBy(func(in activities.CloseFileInput) bool {
				return in.Status == status && in.Kind == kind && in.Step == ingest.StepDownload
			})).Return(activities.Outcome{Status: status}, nil).Once()
			env.OnActivity(activities.NameDiscardStaged, mock.Anything, mock.Anything).Return(nil).Once()
			expectSearch(env, status)

			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

			assert.Equal(t, status, result(t, env))
		})
	}
}

// parkAtUpload mocks an upload that fails for good once.
func parkAtUpload(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(activities.NameUpload, mock.Anything, mock.Anything).Return(failure(ingest.KindConflict)).Once()
	env.OnActivity(activities.NameParkFile, mock.Anything, mock.MatchedBy(func(in activities.ParkFileInput) bool {
		return in.Step == ingest.StepUpload && in.Kind == ingest.KindConflict && in.Message != ""
	})).Return(activities.Outcome{Status: ingest.StatusError}, nil).Once()
	env.OnSignalExternalWorkflow(mock.Anything, ingest.DiscoverWorkflowID(serverUUID), "", workflows.SignalSlotFreed,
		workflows.SlotFreed{FileUUID: fileUUID}).Return(nil).Once()
}

func TestFileIngestParksAndGoesOnFromTheNamedStep(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	downloads := 0
	env.SetOnActivityStartedListener(func(info *activityInfo, _ context.Context, _ encoded) {
		if info.ActivityType.Name == activities.NameDownload {
			downloads++
		}
	})
	parkAtUpload(env)
	env.OnActivity(activities.NameResumeFile, mock.Anything, mock.MatchedBy(func(in activities.ResumeFileInput) bool {
		return in.Action == activities.ActionRetry && in.From == ingest.StepUpload && in.Actor == "ann" && in.Reason == "cleared" && in.Key != ""
	})).Return(activities.Outcome{Status: ingest.StatusVerified}, nil).Once()
	expectTransfer(env)
	expectSearch(env, ingest.StatusError, ingest.StatusReady, ingest.StatusCompleted)

	early, late := &answer{}, &answer{}
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateRetry, "bad", early, workflows.Decision{From: "lunch", Actor: "ann"})
		env.UpdateWorkflow(workflows.UpdateRetry, "good", late, workflows.Decision{Actor: "ann", Reason: "cleared"})
	}, time.Hour)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())

	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, 1, downloads, "the staged bytes are used again")
	require.ErrorContains(t, early.rejected, "use download, verify, upload or notify")
	require.NoError(t, late.rejected)
	assert.True(t, late.completed)
}

func TestFileIngestRefusesDecisionsWhileItWorks(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameDownload, mock.Anything, mock.Anything).After(time.Minute).Return(activities.DownloadResult{}, nil)
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)
	got := &answer{}
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateSkip, "early", got, workflows.Decision{Actor: "ann"})
		env.SignalWorkflow(workflows.UpdateSkip, nil)
	}, time.Second)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	require.ErrorContains(t, got.rejected, "not parked")
}

func TestFileIngestIsSkippedByASignalByHand(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	parkAtUpload(env)
	env.OnActivity(activities.NameResumeFile, mock.Anything, mock.MatchedBy(func(in activities.ResumeFileInput) bool {
		return in.Action == activities.ActionSkip && in.Actor == "signal"
	})).Return(activities.Outcome{Status: ingest.StatusSkipped}, nil).Once()
	env.OnActivity(activities.NameDiscardStaged, mock.Anything, mock.Anything).Return(nil).Once()
	expectTransfer(env)
	expectSearch(env, ingest.StatusError, ingest.StatusSkipped)
	env.RegisterDelayedCallback(func() {
		value, err := env.QueryWorkflow(workflows.QueryStatus)
		require.NoError(t, err)
		var status workflows.IngestStatus
		require.NoError(t, value.Get(&status))
		assert.Equal(t, ingest.KindConflict, status.Parked.Kind)
		env.SignalWorkflow(workflows.UpdateSkip, nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())
	assert.Equal(t, ingest.StatusSkipped, result(t, env))
}

func TestFileIngestFetchesAnewWhatStagingLost(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameUpload, mock.Anything, mock.Anything).Return(temporal.NewNonRetryableApplicationError("gone", string(ingest.KindStagingLost), nil)).Once()
	expect(env, activities.NameDownload, activities.DownloadResult{}).Twice()
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
}

func TestFileIngestAsksAnOperatorAboutASecondMismatch(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameVerifyHash, mock.Anything, mock.Anything).Return(failure(ingest.KindHashMismatch)).Twice()
	env.OnActivity(activities.NameParkFile, mock.Anything, mock.MatchedBy(func(in activities.ParkFileInput) bool {
		return in.Step == ingest.StepVerify && in.Kind == ingest.KindHashMismatch
	})).Return(activities.Outcome{Status: ingest.StatusError}, nil).Once()
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil).Once()
	expect(env, activities.NameClaimHost, aHost)
	expect(env, activities.NameDownload, activities.DownloadResult{}).Twice()
	env.OnActivity(activities.NameResumeFile, mock.Anything, mock.Anything).Return(activities.Outcome{Status: ingest.StatusSkipped}, nil).Once()
	env.OnActivity(activities.NameDiscardStaged, mock.Anything, mock.Anything).Return(nil)
	expectSearch(env, ingest.StatusError, ingest.StatusSkipped)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.UpdateSkip, workflows.Decision{Actor: "ann"}) }, time.Hour)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())
	assert.Equal(t, ingest.StatusSkipped, result(t, env))
}

func TestFileIngestTellsABusyHostFromADeadOne(t *testing.T) {
	t.Parallel()
	timeout := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	env := newEnv(t)
	other := activities.Host{Queue: "stevedore-host-b", Timeout: time.Minute}
	expect(env, activities.NameClaimHost, aHost).Once()
	expect(env, activities.NameClaimHost, other).Once()
	var queues []string
	env.OnActivity(activities.NameDownload, mock.Anything, mock.Anything).Return(func(ctx context.Context, _ activities.DownloadInput) (activities.DownloadResult, error) {
		queues = append(queues, queueOf(ctx))
		if len(queues) <= 2 {
			return activities.DownloadResult{}, timeout
		}
		return activities.DownloadResult{}, nil
	})
	expect(env, activities.NameCheckHost, activities.CheckHostResult{Alive: true}).Once()
	expect(env, activities.NameCheckHost, activities.CheckHostResult{Alive: false}).Once()
	expectTransfer(env)
	expectSearch(env, ingest.StatusCompleted)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput())
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{hostQueue, hostQueue, other.Queue}, queues)
}
