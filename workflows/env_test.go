package workflows_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

const (
	serverUUID = "11111111-1111-4111-8111-111111111111"
	fileUUID   = "22222222-2222-4222-8222-222222222222"
	hostQueue  = "stevedore-host-a"
)

// newEnv returns a time-skipping environment with every workflow and activity
// registered under its name. Activities are mocked: one that a test does not
// expect panics, so no step can slip in unseen.
func newEnv(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	env.SetWorkflowRunTimeout(24 * time.Hour)
	for name, fn := range workflows.Registered() {
		env.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
	for name, fn := range (&activities.Activities{}).Registered() {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	t.Cleanup(func() { env.AssertExpectations(t) })
	return env
}

// failure is an activity's error as applicationError makes it.
func failure(kind ingest.Kind) error {
	return temporal.NewApplicationErrorWithOptions("it failed: "+string(kind), string(kind),
		temporal.ApplicationErrorOptions{NonRetryable: kind.Permanent()})
}

// expect mocks an activity that succeeds with the result.
func expect(env *testsuite.TestWorkflowEnvironment, name string, result any) *testsuite.MockCallWrapper {
	return env.OnActivity(name, mock.Anything, mock.Anything).Return(result, nil)
}

type (
	activityInfo = activity.Info
	encoded      = converter.EncodedValues
)

func queueOf(ctx context.Context) string { return activity.GetInfo(ctx).TaskQueue }

// answer collects what an update was answered.
type answer struct {
	rejected  error
	completed bool
}

func (a *answer) Accept()          {}
func (a *answer) Reject(err error) { a.rejected = err }
func (a *answer) Complete(_ any, err error) {
	a.completed = true
	a.rejected = err
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// payloads decodes the input of the next run.
func payloads(next *workflow.ContinueAsNewError, in any) error {
	return converter.GetDefaultDataConverter().FromPayloads(next.Input, in)
}
