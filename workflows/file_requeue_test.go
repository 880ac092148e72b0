package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

const anything = mock.Anything

// expectRequeue mocks the step that makes the file ready again and releases the slot.
// deferred, when set, is the reason of a deferral.
func expectRequeue(env *testsuite.TestWorkflowEnvironment, slot int64, deferred *ingest.Failure) *testsuite.MockCallWrapper {
	return env.OnActivity(activities.NameRequeueFile, anything, mock.MatchedBy(func(in activities.RequeueFileInput) bool {
		attempts := int32(0)
		if deferred != nil {
			attempts = ingest.RoundAttempts
		}
		return in.FileUUID == fileUUID && in.Key != "" && in.Slot == slot && in.Attempts == attempts && assert.ObjectsAreEqual(deferred, in.Deferred)
	})).Return(activities.Outcome{Status: ingest.StatusReady}, nil).Once()
}

// fetching is the step that reads a file's bytes in a mode, and a function that mocks its
// failure.
type fetching struct {
	step ingest.Step
	fail func(env *testsuite.TestWorkflowEnvironment, err error, times int)
}

var fetchings = map[ingest.Mode]fetching{
	ingest.ModeMemory: {ingest.StepTransfer, func(env *testsuite.TestWorkflowEnvironment, err error, times int) {
		failing(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{}, err, times)
	}},
	ingest.ModeStaged: {ingest.StepDownload, func(env *testsuite.TestWorkflowEnvironment, err error, times int) {
		failing(env, activities.NameDownload, activities.DownloadResult{}, err, times)
	}},
	ingest.ModeDirect: {ingest.StepTransfer, func(env *testsuite.TestWorkflowEnvironment, err error, times int) {
		fails(env, activities.NameTransfer, err, times)
	}},
}

// retried are the modes whose transfers are retried in rounds.
var retried = []ingest.Mode{ingest.ModeStaged, ingest.ModeDirect}

// TestAFileThatCannotBeFetchedIsDeferred: it must not block other files of its server.
func TestAFileThatCannotBeFetchedIsDeferred(t *testing.T) {
	t.Parallel()
	for _, mode := range retried {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			statuses := statusesOf(env)
			fetchings[mode].fail(env, failure(ingest.KindTransient), ingest.RoundAttempts)
			expectRequeue(env, slot, &ingest.Failure{Step: fetchings[mode].step, Kind: ingest.KindTransient, Message: "it failed: transient"})
			mockSuccess(env)
			began := env.Now()
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(mode))
			assert.Equal(t, ingest.StatusReady, result(t, env))
			assert.Equal(t, []ingest.Status{ingest.StatusDownloading, ingest.StatusReady}, *statuses)
			assert.Less(t, env.Now().Sub(began), 10*time.Minute)
		})
	}
}

// TestAFileForWhichNoWorkerHasRoomIsDeferred: the file releases its slot.
func TestAFileForWhichNoWorkerHasRoomIsDeferred(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	statuses := statusesOf(env)
	failing(env, activities.NameClaimHost, activities.Host{}, failure(ingest.KindStagingFull), 1+ingest.RoundAttempts) // the local try and a round
	expectRequeue(env, slot, &ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindStagingFull, Message: "it failed: staging_full"})
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusReady, result(t, env))
	assert.Empty(t, *statuses, "the status was always ready")
}

// TestAFileKeepsItsSlotWhileItAdvances: interrupted connections and shutdowns of workers are
// no failures of the server.
func TestAFileKeepsItsSlotWhileItAdvances(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"cut": temporal.NewApplicationErrorWithOptions("cut", string(ingest.KindTransient),
			temporal.ApplicationErrorOptions{Details: []any{activities.Advance{Advanced: true}}}),
		"worker stops": temporal.NewApplicationError("stops", activities.TypeStopped),
	} {
		for _, mode := range retried {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				t.Parallel()
				env := newEnv(t)
				fetchings[mode].fail(env, err, 3*ingest.RoundAttempts+5)
				mockSuccess(env)
				env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(mode))
				assert.Equal(t, ingest.StatusCompleted, result(t, env))
			})
		}
	}
}

// TestAFileWithoutASlotIsNotFetched: it waits for the dispatcher and is not deferred.
func TestAFileWithoutASlotIsNotFetched(t *testing.T) {
	t.Parallel()
	for _, mode := range ingest.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			expectRequeue(env, 0, nil)
			in := ingestInput(mode)
			in.Slot = 0
			env.ExecuteWorkflow(workflows.NameFileIngest, in)
			assert.Equal(t, ingest.StatusReady, result(t, env))
			assert.Equal(t, []string{"RequeueFile"}, *steps)
			assert.Empty(t, *statuses)
		})
	}
}

// TestAFileWhoseSlotIsRejectedWaitsForAnother: for example, its workflow was started late.
func TestAFileWhoseSlotIsRejectedWaitsForAnother(t *testing.T) {
	t.Parallel()
	for _, mode := range ingest.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps := stepsOf(env)
			fetchings[mode].fail(env, failure(ingest.KindNoSlot), 1)
			expectRequeue(env, slot, nil)
			mockSuccess(env)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(mode))
			assert.Equal(t, ingest.StatusReady, result(t, env))
			assert.Equal(t, "RequeueFile", (*steps)[len(*steps)-1])
			assert.NotContains(t, *steps, "RecordFailure")
		})
	}
}

// TestARequeuedFileMayHaveEnded: its object may be stored, or an operator may have acted.
func TestARequeuedFileMayHaveEnded(t *testing.T) {
	t.Parallel()
	for status, want := range map[ingest.Status]struct {
		end  ingest.Status
		step string
	}{
		ingest.StatusUploaded:  {ingest.StatusCompleted, "local Notify"},
		ingest.StatusCompleted: {ingest.StatusCompleted, "RequeueFile"},
		ingest.StatusSkipped:   {ingest.StatusSkipped, "RequeueFile"},
	} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps := stepsOf(env)
			expectRequeue(env, 0, nil).Return(activities.Outcome{Status: status}, nil)
			mockSuccess(env)
			in := ingestInput(ingest.ModeStaged)
			in.Slot = 0
			env.ExecuteWorkflow(workflows.NameFileIngest, in)
			assert.Equal(t, want.end, result(t, env))
			assert.Equal(t, want.step, (*steps)[len(*steps)-1])
		})
	}
}

// TestAFileThatLostItsSlotIsNotFetchedAgain: the slot was released while the file waited for
// an operator.
func TestAFileThatLostItsSlotIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range ingest.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			statuses := statusesOf(env)
			fetch := fetchings[mode]
			fetched := []ingest.Status{ingest.StatusDownloading}
			if mode == ingest.ModeMemory {
				fetch.fail(env, failure(ingest.KindPermission), 1)
				fetch = fetchings[ingest.ModeStaged] // its fallback
			}
			fetch.fail(env, failure(ingest.KindPermission), 1)
			expectFailure(env, fetch.step, ingest.KindPermission)
			expectResumed(env, ingest.ActionRetry, fetch.step, "ann", ingest.StatusReady)
			expectRequeue(env, 0, nil)
			mockSuccess(env)
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"}) }, time.Hour)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(mode))
			assert.Equal(t, ingest.StatusReady, result(t, env))
			assert.Equal(t, append(fetched, ingest.StatusError, ingest.StatusReady), *statuses)
		})
	}
}
