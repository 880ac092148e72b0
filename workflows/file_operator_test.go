package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// expectFailure mocks the recording of a permanent failure.
func expectFailure(env *testsuite.TestWorkflowEnvironment, step ingest.Step, kind ingest.Kind) {
	env.OnActivity(activities.NameRecordFailure, anything, mock.MatchedBy(func(in activities.RecordFailureInput) bool {
		return in.FileUUID == fileUUID && in.Step == step && in.Kind == kind && in.Message != ""
	})).Return(activities.Outcome{Status: ingest.StatusError}, nil).Once()
}

// expectResumed mocks the recording of an operator action.
func expectResumed(env *testsuite.TestWorkflowEnvironment, action ingest.Action, from ingest.Step, actor string, to ingest.Status) {
	env.OnActivity(activities.NameResumeFile, anything, mock.MatchedBy(func(in activities.ResumeFileInput) bool {
		return in.FileUUID == fileUUID && in.Action == action && in.From == from && in.Actor == actor && in.Key != ""
	})).Return(activities.Outcome{Status: to}, nil).Once()
}

// skipLater skips the failed file after an hour.
func skipLater(env *testsuite.TestWorkflowEnvironment) {
	expect(env, activities.NameResumeFile, activities.Outcome{Status: ingest.StatusSkipped}).Once()
	env.OnActivity(activities.NameDiscardStaged, anything, anything).Return(nil).Maybe()
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.UpdateSkip, workflows.OperatorAction{Actor: "ann"}) }, time.Hour)
}

// act performs an operator action by its update or its signal.
func act(env *testsuite.TestWorkflowEnvironment, bySignal bool, name string, d workflows.OperatorAction) *answer {
	got := &answer{}
	if bySignal {
		env.SignalWorkflow(name, d)
	} else {
		env.UpdateWorkflow(name, "", got, d)
	}
	return got
}

// TestAFailedFileIsRetriedFromItsFailedStep: the same staged bytes are used.
func TestAFailedFileIsRetriedFromItsFailedStep(t *testing.T) {
	t.Parallel()
	for name, bySignal := range map[string]bool{"update": false, "signal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			fails(env, activities.NameUpload, failure(ingest.KindConflict), 1)
			expectFailure(env, ingest.StepUpload, ingest.KindConflict)
			expectResumed(env, ingest.ActionRetry, ingest.StepUpload, "ann", ingest.StatusVerified)
			mockSuccess(env)
			var got *answer
			env.RegisterDelayedCallback(func() {
				status := statusAnswer(t, env)
				assert.Equal(t, &ingest.Failure{Step: ingest.StepUpload, Kind: ingest.KindConflict, Message: "it failed: conflict"}, status.Failure)
				assert.Contains(t, details(t, env), "failed and needs attention")
				got = act(env, bySignal, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", Reason: "cleared"})
			}, time.Hour)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
			assert.Equal(t, ingest.StatusCompleted, result(t, env))
			assert.Equal(t, slices.Concat(stagedSteps[:4], []string{"RecordFailure", "ResumeFile"}, stagedSteps[3:]), *steps)
			assert.Equal(t, []ingest.Status{
				ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusError,
				ingest.StatusReady, ingest.StatusUploading, ingest.StatusCompleted,
			}, *statuses)
			require.NoError(t, got.rejected)
			assert.Equal(t, !bySignal, got.completed)
		})
	}
}

// TestAFailedFileIsSkipped: its staged bytes are removed from their host.
func TestAFailedFileIsSkipped(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bySignal bool
		action   workflows.OperatorAction
		actor    string
	}{
		"update":           {false, workflows.OperatorAction{Actor: "ann"}, "ann"},
		"signal":           {true, workflows.OperatorAction{Actor: "ann"}, "ann"},
		"signal, no actor": {true, workflows.OperatorAction{}, "signal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			fails(env, activities.NameUpload, failure(ingest.KindConflict), 1)
			expectFailure(env, ingest.StepUpload, ingest.KindConflict)
			expectResumed(env, ingest.ActionSkip, ingest.StepUpload, tc.actor, ingest.StatusSkipped)
			env.OnActivity(activities.NameDiscardStaged, anything, activities.DiscardStagedInput{FileUUID: fileUUID}).Return(nil).Once()
			mockSuccess(env)
			env.RegisterDelayedCallback(func() { act(env, tc.bySignal, workflows.UpdateSkip, tc.action) }, time.Hour)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
			assert.Equal(t, ingest.StatusSkipped, result(t, env))
			assert.Equal(t, "DiscardStaged@"+hostQueue+"-cleanup", (*steps)[len(*steps)-1])
			assert.Equal(t, []ingest.Status{ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusError, ingest.StatusSkipped}, *statuses)
		})
	}
}

// TestARetryMayGoBack: an operator may retry from any earlier step of the mode.
func TestARetryMayGoBack(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps := stepsOf(env)
	fails(env, activities.NameUpload, failure(ingest.KindConflict), 1)
	expectFailure(env, ingest.StepUpload, ingest.KindConflict)
	expectResumed(env, ingest.ActionRetry, ingest.StepVerify, "ann", ingest.StatusDownloaded)
	mockSuccess(env)
	env.RegisterDelayedCallback(func() {
		act(env, false, workflows.UpdateRetry, workflows.OperatorAction{From: ingest.StepVerify, Actor: "ann"})
	}, time.Hour)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, slices.Concat(stagedSteps[:4], []string{"RecordFailure", "ResumeFile"}, stagedSteps[2:]), *steps)
}

// TestAStepOfAnotherModeRestartsTheFile: a file that failed in staged mode may have another
// mode when its workflow is started again.
func TestAStepOfAnotherModeRestartsTheFile(t *testing.T) {
	t.Parallel()
	for _, step := range []ingest.Step{ingest.StepDownload, ingest.StepVerify, ingest.StepUpload} {
		for name, in := range map[string]func(*workflows.FileIngestInput){
			"from": func(in *workflows.FileIngestInput) { in.From = step },
			"failed": func(in *workflows.FileIngestInput) {
				in.Failure = &ingest.Failure{Step: step, Kind: ingest.KindConflict}
			},
		} {
			t.Run(string(step)+"/"+name, func(t *testing.T) {
				t.Parallel()
				env := newEnv(t)
				steps := stepsOf(env)
				expectRequeue(env, 0, nil)
				want := []string{"RequeueFile"}
				if name == "failed" {
					expectResumed(env, ingest.ActionRetry, ingest.StepTransfer, "ann", ingest.StatusReady)
					env.RegisterDelayedCallback(func() { act(env, false, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"}) }, time.Hour)
					want = []string{"ResumeFile", "RequeueFile"}
				}
				mockSuccess(env)
				input := ingestInput(ingest.ModeMemory)
				input.Slot = 0
				in(&input)
				env.ExecuteWorkflow(workflows.NameFileIngest, input)
				assert.Equal(t, ingest.StatusReady, result(t, env))
				assert.Equal(t, want, *steps)
			})
		}
	}
}

// TestARetryResetsTheLimits: earlier failures no longer count.
func TestARetryResetsTheLimits(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps := stepsOf(env)
	fails(env, activities.NameUpload, failure(ingest.KindStagingLost), 6)
	expectFailure(env, ingest.StepUpload, ingest.KindStagingLost)
	expectResumed(env, ingest.ActionRetry, ingest.StepUpload, "ann", ingest.StatusVerified)
	expectRequeue(env, 0, nil) // the slot was released, and the bytes must be fetched again
	mockSuccess(env)
	env.RegisterDelayedCallback(func() { act(env, false, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"}) }, time.Hour)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusReady, result(t, env))
	assert.Equal(t, []string{"RecordFailure", "ResumeFile", "RequeueFile"}, (*steps)[len(*steps)-3:])
}

// TestANotificationIsPublishedAgain: renotify is a retry of that step alone.
func TestANotificationIsPublishedAgain(t *testing.T) {
	t.Parallel()
	for name, bySignal := range map[string]bool{"update": false, "signal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps := stepsOf(env)
			failing(env, activities.NameNotify, activities.NotifyResult{}, failure(ingest.KindInvalid), 1)
			expectFailure(env, ingest.StepNotify, ingest.KindInvalid)
			expectResumed(env, ingest.ActionRenotify, ingest.StepNotify, "ann", ingest.StatusUploaded)
			mockSuccess(env)
			env.RegisterDelayedCallback(func() { act(env, bySignal, workflows.UpdateRenotify, workflows.OperatorAction{Actor: "ann"}) }, time.Hour)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeDirect))
			assert.Equal(t, ingest.StatusCompleted, result(t, env))
			assert.Equal(t, slices.Concat(directSteps, []string{"RecordFailure", "ResumeFile", "local Notify"}), *steps)
		})
	}
}

// TestInvalidActionsAreRejected: the error has the reason and the steps of the file's
// mode.
func TestInvalidActionsAreRejected(t *testing.T) {
	t.Parallel()
	by := func(from ingest.Step) workflows.OperatorAction {
		return workflows.OperatorAction{From: from, Actor: "ann"}
	}
	for name, tc := range map[string]struct {
		mode   ingest.Mode
		failed ingest.Step
		update string
		action workflows.OperatorAction
		want   string
	}{
		"unknown step": {ingest.ModeStaged, ingest.StepUpload, workflows.UpdateRetry, by("lunch"),
			`from "lunch": not a step to retry from; the file failed at step upload of mode staged: use one of [download verify upload]`},
		"a later step": {ingest.ModeStaged, ingest.StepUpload, workflows.UpdateRetry, by(ingest.StepNotify),
			"use one of [download verify upload]"},
		"a step of another mode": {ingest.ModeDirect, ingest.StepNotify, workflows.UpdateRetry, by(ingest.StepDownload),
			"of mode direct: use one of [transfer notify]"},
		"memory mode":       {ingest.ModeMemory, ingest.StepTransfer, workflows.UpdateRetry, by(ingest.StepNotify), "use one of [transfer]"},
		"no actor":          {ingest.ModeStaged, ingest.StepUpload, workflows.UpdateRetry, workflows.OperatorAction{}, "actor: required"},
		"not yet stored":    {ingest.ModeDirect, ingest.StepTransfer, workflows.UpdateRenotify, by(""), "failed at step transfer"},
		"skip, no actor":    {ingest.ModeStaged, ingest.StepUpload, workflows.UpdateSkip, workflows.OperatorAction{}, "actor: required"},
		"renotify, unknown": {ingest.ModeStaged, ingest.StepNotify, workflows.UpdateRenotify, by("lunch"), "use one of [download verify upload notify]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			skipLater(env)
			got := &answer{}
			env.RegisterDelayedCallback(func() { env.UpdateWorkflow(tc.update, "", got, tc.action) }, time.Minute)
			env.ExecuteWorkflow(workflows.NameFileIngest, failedInput(tc.mode, tc.failed, ingest.KindConflict))
			assert.Equal(t, ingest.StatusSkipped, result(t, env))
			require.ErrorContains(t, got.rejected, tc.want)
			assert.False(t, got.completed)
		})
	}
}

func TestActionsAreRejectedUnlessTheFileHasFailed(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	expect(env, activities.NameDownload, activities.DownloadResult{}).After(time.Minute)
	mockSuccess(env)
	got := &answer{}
	env.RegisterDelayedCallback(func() {
		got = act(env, false, workflows.UpdateSkip, workflows.OperatorAction{Actor: "ann"})
		act(env, true, workflows.UpdateSkip, workflows.OperatorAction{})
	}, time.Second)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeStaged))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	require.ErrorContains(t, got.rejected, "has not failed: it is at step download")
}

// TestOneActionAtATime: the first one is accepted, the second rejected until the first is
// recorded.
func TestOneActionAtATime(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	expect(env, activities.NameResumeFile, activities.Outcome{Status: ingest.StatusSkipped}).After(time.Minute).Once()
	first, second := &answer{}, &answer{}
	env.RegisterDelayedCallback(func() { first = act(env, false, workflows.UpdateSkip, workflows.OperatorAction{Actor: "ann"}) }, time.Hour)
	env.RegisterDelayedCallback(func() {
		second = act(env, false, workflows.UpdateRetry, workflows.OperatorAction{Actor: "bob"})
	}, time.Hour+time.Second)
	env.ExecuteWorkflow(workflows.NameFileIngest, failedInput(ingest.ModeDirect, ingest.StepTransfer, ingest.KindPermission))
	assert.Equal(t, ingest.StatusSkipped, result(t, env))
	require.NoError(t, first.rejected)
	require.ErrorContains(t, second.rejected, workflows.ActionPending)
}

// failedInput returns the input for a failed file whose earlier workflow was lost.
func failedInput(mode ingest.Mode, step ingest.Step, kind ingest.Kind) workflows.FileIngestInput {
	return workflows.FileIngestInput{
		FileUUID: fileUUID, ServerUUID: serverUUID, Size: size, Mode: mode,
		Failure: &ingest.Failure{Step: step, Kind: kind, Message: "it failed"},
	}
}

// TestAFailedFileGetsAnotherWorkflow: a new workflow for a failed file waits for an operator. After a
// retry, steps that read from the server wait for a slot.
func TestAFailedFileGetsAnotherWorkflow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode  ingest.Mode
		step  ingest.Step
		to    ingest.Status
		steps []string
		end   ingest.Status
	}{
		"at notify":   {ingest.ModeMemory, ingest.StepNotify, ingest.StatusUploaded, []string{"local Notify"}, ingest.StatusCompleted},
		"at download": {ingest.ModeStaged, ingest.StepDownload, ingest.StatusReady, []string{"RequeueFile"}, ingest.StatusReady},
		"at transfer": {ingest.ModeDirect, ingest.StepTransfer, ingest.StatusReady, []string{"RequeueFile"}, ingest.StatusReady},
		"at upload, and no host is known": {ingest.ModeStaged, ingest.StepUpload, ingest.StatusVerified,
			[]string{"RequeueFile"}, ingest.StatusReady},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			expectResumed(env, ingest.ActionRetry, tc.step, "ann", tc.to)
			if tc.end == ingest.StatusReady {
				expectRequeue(env, 0, nil)
			}
			mockSuccess(env)
			env.RegisterDelayedCallback(func() {
				assert.Empty(t, *steps)
				assert.Empty(t, *statuses, "the workflow was started with status error")
				status := statusAnswer(t, env)
				assert.Equal(t, tc.mode, status.Mode)
				assert.Equal(t, tc.step, status.Failure.Step)
				act(env, false, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"})
			}, time.Hour)
			env.ExecuteWorkflow(workflows.NameFileIngest, failedInput(tc.mode, tc.step, ingest.KindPermission))
			assert.Equal(t, tc.end, result(t, env))
			assert.Equal(t, append([]string{"ResumeFile"}, tc.steps...), *steps)
			assert.Equal(t, ingest.StatusReady, (*statuses)[0])
			assert.Equal(t, tc.end, (*statuses)[len(*statuses)-1])
		})
	}
}

// TestAFileOfARepairedServerIsRetried: the retry is automatic, unless an operator acts
// first.
func TestAFileOfARepairedServerIsRetried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		operator bool
		actor    string
	}{"repaired": {false, "stevedore"}, "an operator is first": {true, "ann"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			began := env.Now()
			env.OnActivity(activities.NameAwaitServer, anything, activities.AwaitServerInput{ServerUUID: serverUUID}).Return(nil).After(time.Hour)
			expectResumed(env, ingest.ActionRetry, ingest.StepDownload, tc.actor, ingest.StatusReady)
			expectRequeue(env, 0, nil)
			if tc.operator {
				env.RegisterDelayedCallback(func() {
					act(env, false, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann"})
				}, time.Minute)
			}
			env.ExecuteWorkflow(workflows.NameFileIngest, failedInput(ingest.ModeStaged, ingest.StepDownload, ingest.KindAuth))
			assert.Equal(t, ingest.StatusReady, result(t, env))
			assert.Equal(t, tc.operator, env.Now().Sub(began) < time.Hour)
		})
	}
}
