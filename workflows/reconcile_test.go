package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// mockEmptyReconciliation mocks the parts of a reconciliation without findings.
func mockEmptyReconciliation(env *testsuite.TestWorkflowEnvironment) {
	expect(env, activities.NameListHosts, activities.ListHostsResult{}).Maybe()
	expect(env, activities.NameSweepUploads, activities.SweepResult{}).Maybe()
	expect(env, activities.NameCheckObjects, activities.CheckObjectsResult{}).Maybe()
	env.OnActivity(activities.NameRecordReconciliation, anything, anything).Return(nil).Maybe()
}

// TestReconcileContinuesAsNew: a run ends after a number of pages, so that any number of
// files is checked.
func TestReconcileContinuesAsNew(t *testing.T) {
	t.Parallel()
	const pages = 120
	seen := 0
	var in workflows.ReconcileInput
	for runs := 1; ; runs++ {
		env := newEnv(t)
		env.OnActivity(activities.NameRecoverFiles, anything, anything).Return(
			func(_ context.Context, in activities.RecoverFilesInput) (activities.RecoverFilesResult, error) {
				assert.Equal(t, int64(seen), in.AfterID)
				seen++
				return activities.RecoverFilesResult{AfterID: int64(seen), More: seen < pages, Requeued: 1}, nil
			})
		mockEmptyReconciliation(env)
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

// TestReconcileRestartsOrphanedFiles: the files keep their mode and have no slot.
func TestReconcileRestartsOrphanedFiles(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	why := &ingest.Failure{Step: ingest.StepTransfer, Kind: ingest.KindPermission, Message: "denied"}
	file := func(uuid string, mode ingest.Mode) activities.FileRestart {
		return activities.FileRestart{
			ReadyFile: activities.ReadyFile{UUID: uuid, Summary: "/" + uuid, Size: size, Mode: mode}, ServerUUID: serverUUID, ServerName: "acme",
		}
	}
	stored, failed := file("stored", ingest.ModeMemory), file("failed", ingest.ModeDirect)
	stored.Status, stored.From = ingest.StatusUploaded, ingest.StepNotify
	failed.Status, failed.Failure = ingest.StatusError, why
	expect(env, activities.NameRecoverFiles, activities.RecoverFilesResult{Restart: []activities.FileRestart{stored, failed}}).Once()
	for _, in := range []workflows.FileIngestInput{
		{FileUUID: "stored", ServerUUID: serverUUID, Size: size, Mode: ingest.ModeMemory, From: ingest.StepNotify},
		{FileUUID: "failed", ServerUUID: serverUUID, Size: size, Mode: ingest.ModeDirect, Failure: why},
	} {
		env.OnWorkflow(workflows.NameFileIngest, mock.Anything, in).Return(workflows.FileIngestResult{}, nil).Once()
	}
	mockEmptyReconciliation(env)
	env.ExecuteWorkflow(workflows.NameReconcile, workflows.ReconcileInput{})
	require.NoError(t, env.GetWorkflowError())
	var found ingest.Reconciliation
	require.NoError(t, env.GetWorkflowResult(&found))
	assert.EqualValues(t, 2, found.Restarted)
}

// TestReconcileCountsStartedWorkflows: it waits for each start, because a pending one is
// lost when the run ends.
func TestReconcileCountsStartedWorkflows(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	file := activities.FileRestart{
		ReadyFile: activities.ReadyFile{UUID: fileUUID, Summary: "/a", Size: size, Mode: ingest.ModeStaged}, ServerUUID: serverUUID, ServerName: "acme",
	}
	expect(env, activities.NameRecoverFiles, activities.RecoverFilesResult{Restart: []activities.FileRestart{file, file}}).Once()
	// It is running when the second is started, which is therefore rejected.
	env.OnWorkflow(workflows.NameFileIngest, mock.Anything, mock.Anything).Return(workflows.FileIngestResult{}, nil).After(time.Hour)
	mockEmptyReconciliation(env)
	env.ExecuteWorkflow(workflows.NameReconcile, workflows.ReconcileInput{})
	require.NoError(t, env.GetWorkflowError())
	var found ingest.Reconciliation
	require.NoError(t, env.GetWorkflowResult(&found))
	assert.EqualValues(t, 1, found.Restarted)
}
