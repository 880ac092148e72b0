package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestAFileWithoutRoomInStagingIsTransferredDirectly: ClaimHost decides whether that is
// allowed.
func TestAFileWithoutRoomInStagingIsTransferredDirectly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode  ingest.Mode
		steps []string
	}{
		{ingest.ModeStaged, []string{"local ClaimHost"}},
		{ingest.ModeMemory, []string{"local IngestInMemory", "local ClaimHost"}},
	} {
		t.Run(string(tc.mode), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			if tc.mode == ingest.ModeMemory {
				failing(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{}, failure(ingest.KindTransient), 1)
			}
			expect(env, activities.NameClaimHost, activities.Host{Direct: true}).Once()
			env.OnActivity(activities.NameTransfer, anything, activities.TransferInput{FileUUID: fileUUID, Slot: slot}).
				Return(nil).After(time.Minute).Once()
			mockSuccess(env)
			env.RegisterDelayedCallback(func() {
				status := statusAnswer(t, env)
				assert.Equal(t, workflows.IngestStatus{Step: ingest.StepTransfer, Mode: ingest.ModeDirect}, status)
				assert.Contains(t, details(t, env), "step 1 of 2, transfer mode direct")
			}, 30*time.Second)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(tc.mode))
			assert.Equal(t, ingest.StatusCompleted, result(t, env))
			assert.Equal(t, append(tc.steps, directSteps...), *steps)
			assert.Equal(t, []ingest.Status{ingest.StatusDownloading, ingest.StatusCompleted}, *statuses)
		})
	}
}

// TestADirectTransferIsRepeatedOnceAfterAMismatch: one may be a damaged connection.
func TestADirectTransferIsRepeatedOnceAfterAMismatch(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps := stepsOf(env)
	fails(env, activities.NameTransfer, failure(ingest.KindHashMismatch), 2)
	expectFailure(env, ingest.StepTransfer, ingest.KindHashMismatch)
	skipLater(env)
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeDirect))
	assert.Equal(t, ingest.StatusSkipped, result(t, env))
	assert.Equal(t, []string{directSteps[0], directSteps[0], "RecordFailure", "ResumeFile"}, *steps, "nothing is staged, so nothing is discarded")
}

// TestADirectTransferIsBounded: another worker continues it soon after a crash, and without
// progress it releases its slot.
func TestADirectTransferIsBounded(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	options := recordOptions(env)
	mockSuccess(env)
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeDirect))
	transferring := options.of(t, activities.NameTransfer)
	assert.Equal(t, 30*time.Second, transferring.HeartbeatTimeout)
	assert.EqualValues(t, ingest.RoundAttempts, transferring.RetryPolicy.MaximumAttempts)
	assert.Zero(t, transferring.ScheduleToStartTimeout, "the start of a transfer has no timeout")
}
