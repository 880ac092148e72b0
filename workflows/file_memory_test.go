package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestMemoryModeFallsBackToStaging: after any failure the file continues in staged mode,
// so that attempts and errors are visible.
func TestMemoryModeFallsBackToStaging(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"transient":     failure(ingest.KindTransient),
		"permanent":     failure(ingest.KindPermission),
		"hash mismatch": failure(ingest.KindHashMismatch),
		"fenced":        failure(ingest.KindFenced),
		"too slow":      temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			failing(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{}, err, 1)
			expect(env, activities.NameDownload, activities.DownloadResult{}).After(time.Minute)
			mockSuccess(env)
			env.RegisterDelayedCallback(func() {
				status := statusAnswer(t, env)
				assert.Equal(t, ingest.ModeStaged, status.Mode)
				assert.Equal(t, ingest.StepDownload, status.Step)
				assert.Equal(t, hostQueue, status.Host)
				assert.Contains(t, details(t, env), "Transfer in memory failed (`")
			}, 30*time.Second)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeMemory))
			assert.Equal(t, ingest.StatusCompleted, result(t, env))
			assert.Equal(t, append([]string{"local IngestInMemory"}, stagedSteps...), *steps)
			assert.Equal(t, []ingest.Status{ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusCompleted}, *statuses)
		})
	}
}

// TestMemoryModeLeavesTheNotificationToItsStep: the broker does not accept the notification
// immediately.
func TestMemoryModeLeavesTheNotificationToItsStep(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	steps, statuses := stepsOf(env), statusesOf(env)
	expect(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{}).Once()
	failing(env, activities.NameNotify, activities.NotifyResult{}, failure(ingest.KindTransient), 2)
	expect(env, activities.NameNotify, activities.NotifyResult{SourceAction: true}).Once()
	env.OnActivity(activities.NameAfterIngest, anything, anything).Return(nil).Once()
	env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeMemory))
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
	assert.Equal(t, []string{"local IngestInMemory", "local Notify", "Notify", "Notify", "AfterIngest"}, *steps)
	assert.Equal(t, []ingest.Status{ingest.StatusUploaded, ingest.StatusCompleted}, *statuses)
}

// TestMemoryModeDoesNotLogInAgainAfterARefusal: another login may lock the account. The
// file is retried after its server is repaired.
func TestMemoryModeDoesNotLogInAgainAfterARefusal(t *testing.T) {
	t.Parallel()
	for _, kind := range []ingest.Kind{
		ingest.KindAuth, ingest.KindHostKey, ingest.KindForbiddenAddress, ingest.KindServer, ingest.KindSuspended,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			env := newEnv(t)
			steps, statuses := stepsOf(env), statusesOf(env)
			failing(env, activities.NameIngestInMemory, activities.IngestInMemoryResult{}, failure(kind), 1)
			expectFailure(env, ingest.StepTransfer, kind)
			env.OnActivity(activities.NameAwaitServer, mock.Anything, activities.AwaitServerInput{ServerUUID: serverUUID}).
				Return(nil).After(time.Hour).Once()
			expectResumed(env, ingest.ActionRetry, ingest.StepTransfer, "stevedore", ingest.StatusReady)
			expectRequeue(env, 0, nil)
			env.ExecuteWorkflow(workflows.NameFileIngest, ingestInput(ingest.ModeMemory))
			assert.Equal(t, ingest.StatusReady, result(t, env))
			assert.Equal(t, []string{"local IngestInMemory", "RecordFailure", "AwaitServer", "ResumeFile", "RequeueFile"}, *steps)
			assert.Equal(t, []ingest.Status{ingest.StatusError, ingest.StatusReady}, *statuses)
		})
	}
}
