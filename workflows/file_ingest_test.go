package workflows_test

import (
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

const (
	slot = 7
	size = 100
)

var testHost = activities.Host{Queue: hostQueue, Timeout: 5 * time.Minute}

func ingestInput(mode ingest.Mode) workflows.FileIngestInput {
	return workflows.FileIngestInput{FileUUID: fileUUID, ServerUUID: serverUUID, Size: size, Mode: mode, Slot: slot}
}

// mockSuccess mocks the steps that a test has not mocked before. Steps that read from the
// server must pass the slot.
func mockSuccess(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(activities.NameIngestInMemory, mock.Anything, activities.IngestInMemoryInput{
		FileUUID: fileUUID, ServerUUID: serverUUID, Slot: slot, Size: size,
	}).Return(activities.IngestInMemoryResult{Notified: true}, nil).Maybe()
	env.OnActivity(activities.NameClaimHost, mock.Anything, activities.ClaimHostInput{FileUUID: fileUUID, Size: size}).Return(testHost, nil).Maybe()
	env.OnActivity(activities.NameDownload, mock.Anything, activities.DownloadInput{FileUUID: fileUUID, Slot: slot}).
		Return(activities.DownloadResult{}, nil).Maybe()
	env.OnActivity(activities.NameTransfer, mock.Anything, activities.TransferInput{FileUUID: fileUUID, Slot: slot}).Return(nil).Maybe()
	env.OnActivity(activities.NameVerifyHash, mock.Anything, mock.Anything).Return(nil).Maybe()
	env.OnActivity(activities.NameUpload, mock.Anything, activities.UploadInput{FileUUID: fileUUID}).Return(nil).Maybe()
	env.OnActivity(activities.NameNotify, mock.Anything, activities.NotifyInput{FileUUID: fileUUID}).Return(activities.NotifyResult{}, nil).Maybe()
}

// fails mocks the given number of failed attempts of an activity without a result.
func fails(env *testsuite.TestWorkflowEnvironment, name string, err error, times int) {
	env.OnActivity(name, mock.Anything, mock.Anything).Return(err).Times(times)
}

// failing is fails for an activity with a result.
func failing(env *testsuite.TestWorkflowEnvironment, name string, result any, err error, times int) {
	env.OnActivity(name, mock.Anything, mock.Anything).Return(result, err).Times(times)
}

func result(t *testing.T, env *testsuite.TestWorkflowEnvironment) ingest.Status {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var r workflows.FileIngestResult
	require.NoError(t, env.GetWorkflowResult(&r))
	return r.Status
}

func statusAnswer(t *testing.T, env *testsuite.TestWorkflowEnvironment) (status workflows.IngestStatus) {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryStatus)
	require.NoError(t, err)
	require.NoError(t, value.Get(&status))
	return status
}

var (
	stagedSteps = []string{"local ClaimHost", "Download@" + hostQueue, "local VerifyHash", "Upload@" + hostQueue + "-uploads", "local Notify"}
	directSteps = []string{"Transfer@stevedore-transfers", "local Notify"}
)

// TestFileIngestRunsTheStepsOfItsMode: it runs only these steps, in this order, and updates
// the search attribute.
func TestFileIngestRunsTheStepsOfItsMode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in       workflows.FileIngestInput
		steps    []string
		statuses []ingest.Status
	}{
		"memory": {ingestInput(ingest.ModeMemory), []string{"local IngestInMemory"}, []ingest.Status{ingest.StatusCompleted}},
		"staged": {ingestInput(ingest.ModeStaged), stagedSteps,
			[]ingest.Status{ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusCompleted}},
		"direct":  {ingestInput(ingest.ModeDirect), directSteps, []ingest.Status{ingest.StatusDownloading, ingest.StatusCompleted}},
		"not set": {ingestInput(""), stagedSteps, []ingest.Status{ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusCompleted}},
		"stored already": {workflows.FileIngestInput{FileUUID: fileUUID, ServerUUID: serverUUID, Mode: ingest.ModeDirect, From: ingest.StepNotify},
			[]string{"local Notify"}, []ingest.Status{ingest.StatusCompleted}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			mockSuccess(env)
			env.ExecuteWorkflow(workflows.NameFileIngest, tc.in)
			assert.Equal(t, ingest.StatusCompleted, result(t, env))
			assert.Equal(t, tc.steps, *steps)
			assert.Equal(t, tc.statuses, *statuses)
		})
	}
}

// TestFileIngestVerifiesOnTheHost: the workflow task may run on another worker than the host
// of the staged bytes.
func TestFileIngestVerifiesOnTheHost(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps, statuses := stepsOf(env), statusesOf(env)
	fails(env, activities.NameVerifyHash, temporal.NewNonRetryableApplicationError("not here", activities.TypeOtherHost, nil), 1)
	env.OnActivity(activities.NameVerifyHash, mock.Anything, activities.VerifyHashInput{FileUUID: fileUUID, HostQueue: hostQueue}).Return(nil).Once()
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{"local VerifyHash", "VerifyHash@" + hostQueue + "-uploads"}, (*steps)[2:4])
	assert.Equal(t, []ingest.Status{
		ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusUploading, ingest.StatusCompleted,
	}, *statuses)
}

// TestFileIngestShowsAnUnavailableBroker: the object is stored, and the attempts to publish
// are visible.
func TestFileIngestShowsAnUnavailableBroker(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps, statuses := stepsOf(env), statusesOf(env)
	failing(env, activities.NameNotify, activities.NotifyResult{}, failure(ingest.KindTransient), 6) // 1+2+4+8+16 s
	mockSuccess(env)
	env.RegisterDelayedCallback(func() {
		assert.Equal(t, ingest.StepNotify, statusAnswer(t, env).Step)
		assert.Contains(t, details(t, env), "Stored. Waiting for the broker")
	}, 20*time.Second)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeDirect))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, append(directSteps[:2:2], "Notify", "Notify", "Notify", "Notify", "Notify", "Notify"), *steps)
	assert.Equal(t, []ingest.Status{ingest.StatusDownloading, ingest.StatusUploaded, ingest.StatusCompleted}, *statuses)
}

func TestFileIngestRunsTheAfterIngestAction(t *testing.T) {
	t.Parallel()
	for _, mode := range ingest.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps := stepsOf(env)
			if mode == ingest.ModeMemory {
				expect(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{
					Notified: true, NotifyResult: activities.NotifyResult{SourceAction: true},
				}).Once()
			} else {
				expect(env, activities.NameNotify, activities.NotifyResult{SourceAction: true}).Once()
			}
			fails(env, activities.NameAfterIngest, failure(ingest.KindPermission), 1)
			mockSuccess(env)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(mode))
			assert.Equal(t, ingest.StatusCompleted, result(t, env), "a failed action does not fail the file")
			assert.Equal(t, activities.NameAfterIngest, (*steps)[len(*steps)-1])
		})
	}
}

// TestFileIngestDoesTheAfterIngestActionOnceItsServerIsRepaired: partners rely on it.
func TestFileIngestDoesTheAfterIngestActionOnceItsServerIsRepaired(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps, statuses := stepsOf(env), statusesOf(env)
	expect(env, activities.NameNotify, activities.NotifyResult{SourceAction: true})
	fails(env, activities.NameAfterIngest, failure(ingest.KindAuth), 1)
	fails(env, activities.NameAfterIngest, failure(ingest.KindTransient), 8)
	env.OnActivity(activities.NameAfterIngest, mock.Anything, activities.AfterIngestInput{FileUUID: fileUUID}).Return(nil).Once()
	env.OnActivity(activities.NameAwaitServer, mock.Anything, activities.AwaitServerInput{ServerUUID: serverUUID}).Return(nil).Once()
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeDirect))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{"AfterIngest", "AwaitServer", "AfterIngest"}, (*steps)[2:5])
	assert.Len(t, *steps, 2+1+1+9)
	assert.Equal(t, []ingest.Status{ingest.StatusDownloading, ingest.StatusCompleted}, *statuses)
}

func TestFileIngestEndsWhenTheVersionIsGone(t *testing.T) {
	t.Parallel()
	for kind, status := range map[ingest.Kind]ingest.Status{
		ingest.KindNotFound: ingest.StatusVanished,
		ingest.KindChanged:  ingest.StatusSuperseded,
	} {
		for mode, step := range map[ingest.Mode]ingest.Step{
			ingest.ModeMemory: ingest.StepDownload, // after the fallback
			ingest.ModeStaged: ingest.StepDownload,
			ingest.ModeDirect: ingest.StepTransfer,
		} {
			t.Run(string(mode)+" "+string(status), func(t *testing.T) {
				t.Parallel()
				env := newEnv(t)
				statuses := statusesOf(env)
				if mode == ingest.ModeMemory {
					failing(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{}, failure(kind), 1)
				}
				if mode == ingest.ModeDirect {
					fails(env, activities.NameTransfer, failure(kind), 1)
				} else {
					failing(env, activities.NameDownload, activities.DownloadResult{}, failure(kind), 1)
					env.OnActivity(activities.NameDiscardStaged, mock.Anything, activities.DiscardStagedInput{FileUUID: fileUUID}).Return(nil).Once()
				}
				env.OnActivity(activities.NameCloseFile, mock.Anything, mock.MatchedBy(func(in activities.CloseFileInput) bool {
					return in.Status == status && in.Kind == kind && in.Step == step
				})).Return(activities.Outcome{Status: status}, nil).Once()
				mockSuccess(env)
				env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(mode))
				assert.Equal(t, status, result(t, env))
				assert.Equal(t, []ingest.Status{ingest.StatusDownloading, status}, *statuses)
			})
		}
	}
}

func TestFileIngestFetchesLostStagingAgain(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps := stepsOf(env)
	fails(env, activities.NameUpload, failure(ingest.KindStagingLost), 1)
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, append(stagedSteps[:4:4], stagedSteps...), *steps, "the file claims a host again")
}

// TestFileIngestFailsAfterRepeatedFailures: fetching the file again does not repair these
// failures.
func TestFileIngestFailsAfterRepeatedFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		step      ingest.Step
		activity  string
		kind      ingest.Kind
		downloads int
	}{
		"a second mismatch":           {ingest.StepVerify, activities.NameVerifyHash, ingest.KindHashMismatch, 2},
		"staging lost six times":      {ingest.StepUpload, activities.NameUpload, ingest.KindStagingLost, 6},
		"a checksum file is changed":  {ingest.StepVerify, activities.NameVerifyHash, ingest.KindChanged, 1}, // not the file itself
		"a fetched file is not found": {ingest.StepUpload, activities.NameUpload, ingest.KindNotFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps := stepsOf(env)
			fails(env, tc.activity, failure(tc.kind), tc.downloads)
			expectFailure(env, tc.step, tc.kind)
			mockSuccess(env)
			skipLater(env)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
			assert.Equal(t, ingest.StatusSkipped, result(t, env))
			assert.Equal(t, tc.downloads, count(*steps, "Download@"+hostQueue))
		})
	}
}

// TestStepsAfterTheTransferAreRetriedForever: the bytes are fetched, and an operator could
// do no more.
func TestStepsAfterTheTransferAreRetriedForever(t *testing.T) {
	t.Parallel()
	for _, name := range []string{activities.NameVerifyHash, activities.NameUpload, activities.NameNotify} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps := stepsOf(env)
			const tries = 9 // the test environment stops a little later
			if name == activities.NameNotify {
				failing(env, name, activities.NotifyResult{}, failure(ingest.KindTransient), tries)
			} else {
				fails(env, name, failure(ingest.KindTransient), tries)
			}
			mockSuccess(env)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
			assert.Equal(t, ingest.StatusCompleted, result(t, env))
			assert.Equal(t, 1, count(*steps, "Download@"+hostQueue))
		})
	}
}

func count(steps []string, name string) (n int) {
	for _, step := range steps {
		if step == name {
			n++
		}
	}
	return n
}

// TestFileIngestDistinguishesSaturatedFromDeadHosts: a task waits too long in a host's
// queue.
func TestFileIngestDistinguishesSaturatedFromDeadHosts(t *testing.T) {
	t.Parallel()
	timeout := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	env := newEnv(t)
	steps := stepsOf(env)
	other := activities.Host{Queue: "stevedore-host-b", Timeout: time.Minute}
	expect(env, activities.NameClaimHost, testHost).Once()
	expect(env, activities.NameClaimHost, other).Once()
	failing(env, activities.NameDownload, activities.DownloadResult{}, timeout, 2)
	expect(env, activities.NameCheckHost, activities.CheckHostResult{Alive: true}).Once()
	expect(env, activities.NameCheckHost, activities.CheckHostResult{Alive: false}).Once()
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{
		"local ClaimHost", "Download@" + hostQueue, "CheckHost", "Download@" + hostQueue, "CheckHost",
		"local ClaimHost", "Download@" + other.Queue,
	}, (*steps)[:7])
}

// TestFileIngestUsesTheTimeoutOfItsHost: the timeout passes before the workflow checks
// whether the host is alive.
func TestFileIngestUsesTheTimeoutOfItsHost(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	options := recordOptions(env)
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	for _, name := range []string{activities.NameDownload, activities.NameUpload} {
		assert.Equal(t, testHost.Timeout, options.of(t, name).ScheduleToStartTimeout)
	}
}

// TestACancelledFileIngestFailsItsFile: the ledger has the reason.
func TestACancelledFileIngestFailsItsFile(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	expect(env, activities.NameDownload, activities.DownloadResult{}).After(time.Hour)
	expectFailure(env, ingest.StepDownload, "cancelled")
	mockSuccess(env)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, env.GetWorkflowError(), &cancelled)
}

// TestRenotifyOnlyPublishes: no other step runs.
func TestRenotifyOnlyPublishes(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps := stepsOf(env)
	fails(env, activities.NameRenotify, failure(ingest.KindTransient), 1)
	env.OnActivity(activities.NameRenotify, mock.Anything, mock.MatchedBy(func(in activities.RenotifyInput) bool {
		return in.FileUUID == fileUUID && in.Actor == "ann" && in.Reason == "lost" && in.Key != ""
	})).Return(nil).Once()
	env.ExecuteWorkflow(workflows.NameFileIngest, workflows.FileIngestInput{
		FileUUID: fileUUID, ServerUUID: serverUUID, Renotify: &workflows.OperatorAction{Actor: "ann", Reason: "lost"},
	})
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{"Renotify", "Renotify"}, *steps)
}
