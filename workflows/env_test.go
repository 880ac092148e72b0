package workflows_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

const (
	serverUUID = "11111111-1111-4111-8111-111111111111"
	fileUUID   = "22222222-2222-4222-8222-222222222222"
	hostQueue  = "stevedore-host-a"

	// stuck is the wall-clock time after which a test fails. It also replaces the SDK's one
	// second for a workflow to yield, which a process that gets no CPU exceeds.
	stuck = 30 * time.Second
)

// newEnv returns a time-skipping environment in which every workflow and activity is
// registered under its name. Activities are mocked: an unexpected one panics.
func newEnv(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{TaskQueue: temporalnames.TaskQueue})
	require.NoError(t, env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(
		temporal.NewSearchAttributeKeyKeyword(temporalnames.SearchServer).ValueSet("acme"))))
	env.SetTestTimeout(stuck)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: stuck})
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

// failure returns an activity's error as applicationError converts it.
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

// stepsOf records the start of each attempt of an activity: its name, with the prefix
// "local " for local activities, and with its queue as suffix if that is not the
// workflow's.
func stepsOf(env *testsuite.TestWorkflowEnvironment) *[]string {
	var steps []string
	env.SetOnActivityStartedListener(func(info *activityInfo, _ context.Context, _ encoded) {
		name := info.ActivityType.Name
		if info.TaskQueue != temporalnames.TaskQueue {
			name += "@" + info.TaskQueue
		}
		steps = append(steps, name)
	})
	env.SetOnLocalActivityStartedListener(func(info *activityInfo, _ context.Context, _ []any) {
		steps = append(steps, "local "+info.ActivityType.Name)
	})
	return &steps
}

// statusesOf records the values of the workflow's search attribute.
func statusesOf(env *testsuite.TestWorkflowEnvironment) *[]ingest.Status {
	var statuses []ingest.Status
	key := temporal.NewSearchAttributeKeyKeyword(temporalnames.SearchStatus)
	env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		status, _ := args.Get(0).(temporal.SearchAttributes).GetKeyword(key)
		statuses = append(statuses, ingest.Status(status))
	}).Return(nil).Maybe()
	return &statuses
}

// details returns the current details of the running workflow.
func details(t *testing.T, env *testsuite.TestWorkflowEnvironment) string {
	t.Helper()
	value, err := env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(t, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// activityOptions are the options with which each activity was last scheduled.
type activityOptions map[string]workflow.ActivityOptions

func (o activityOptions) of(t *testing.T, name string) workflow.ActivityOptions {
	t.Helper()
	require.Contains(t, o, name)
	return o[name]
}

// recordOptions records the options of activities.
func recordOptions(env *testsuite.TestWorkflowEnvironment) activityOptions {
	seen := activityOptions{}
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&optionsRecorder{seen: seen}}})
	return seen
}

type optionsRecorder struct {
	interceptor.WorkerInterceptorBase
	seen activityOptions
}

func (w *optionsRecorder) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	in := &inboundRecorder{recorder: w}
	in.Next = next
	return in
}

type inboundRecorder struct {
	interceptor.WorkflowInboundInterceptorBase
	recorder *optionsRecorder
}

func (in *inboundRecorder) Init(outbound interceptor.WorkflowOutboundInterceptor) error {
	out := &outboundRecorder{recorder: in.recorder}
	out.Next = outbound
	return in.Next.Init(out)
}

type outboundRecorder struct {
	interceptor.WorkflowOutboundInterceptorBase
	recorder *optionsRecorder
}

func (out *outboundRecorder) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	out.recorder.seen[name] = workflow.GetActivityOptions(ctx)
	return out.Next.ExecuteActivity(ctx, name, args...)
}

// answer records the result of an update.
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
