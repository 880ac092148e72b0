package workflows_test

import (
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

func servers(names ...string) (refs []activities.ServerRef) {
	for _, name := range names {
		refs = append(refs, activities.ServerRef{UUID: "uuid-" + name, Name: name})
	}
	return refs
}

func scanSummary(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.ScanSummary {
	t.Helper()
	require.NoError(t, env.GetWorkflowError())
	var s workflows.ScanSummary
	require.NoError(t, env.GetWorkflowResult(&s))
	return s
}

func onDiscover(env *testsuite.TestWorkflowEnvironment, name string) *testsuite.MockCallWrapper {
	return env.OnWorkflow(workflows.NameDiscoverFiles, mock.Anything,
		workflows.DiscoverFilesInput{ServerUUID: "uuid-" + name, Source: "manual"})
}

func TestScanAllServersStartsEachAndWaitsForNone(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	expect(env, activities.NameListDueServers, activities.ListDueServersResult{Servers: servers("acme", "globex")}).Once()
	onDiscover(env, "acme").Return(workflows.DiscoverSummary{}, errors.New("dead host")).Once()
	onDiscover(env, "globex").After(1e12).Return(workflows.DiscoverSummary{}, nil).Once()

	env.ExecuteWorkflow(workflows.NameScanAllServers, workflows.ScanAllServersInput{Source: "manual"})

	s := scanSummary(t, env)
	assert.Equal(t, 2, s.Started, "a bad server and a slow one are both only started")
	assert.Equal(t, servers("acme", "globex"), s.Servers)
}

func TestScanAllServersAsksARunningScanToLookAgain(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	// The environment knows no workflow of this id until one is started: a first
	// child holds the id, as an earlier scan would.
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) (workflows.ScanSummary, error) {
		first := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: ingest.DiscoverWorkflowID("uuid-acme"),
		}), "holder")
		if err := first.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
			return workflows.ScanSummary{}, err
		}
		summary, err := workflows.ScanAllServers(ctx, workflows.ScanAllServersInput{Source: "manual"})
		if err != nil {
			return summary, err
		}
		return summary, first.Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "parent"})
	rescans := 0
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		workflow.GetSignalChannel(ctx, workflows.SignalRescan).Receive(ctx, nil)
		rescans++
		return nil
	}, workflow.RegisterOptions{Name: "holder"})

	expect(env, activities.NameListDueServers, activities.ListDueServersResult{Servers: servers("acme")}).Once()
	env.ExecuteWorkflow("parent")

	s := scanSummary(t, env)
	assert.Equal(t, 1, s.AlreadyRunning, "%+v", s)
	assert.Zero(t, s.Failed)
	assert.Equal(t, 1, rescans)
}

// TestScanAllServersStartsAScanThatEndedMeanwhile: it ran when its start was
// tried, and was gone when it was to be asked to list again.
func TestScanAllServersStartsAScanThatEndedMeanwhile(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) (workflows.ScanSummary, error) {
		first := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: ingest.DiscoverWorkflowID("uuid-acme"),
		}), "holder")
		if err := first.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
			return workflows.ScanSummary{}, err
		}
		return workflows.ScanAllServers(ctx, workflows.ScanAllServersInput{Source: "manual"})
	}, workflow.RegisterOptions{Name: "parent"})
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Minute) },
		workflow.RegisterOptions{Name: "holder"})
	// The start of the first server is told late: by then the scan that kept the
	// second from being started has ended.
	onDiscover(env, "slow").Return(func(ctx workflow.Context, _ workflows.DiscoverFilesInput) (workflows.DiscoverSummary, error) {
		return workflows.DiscoverSummary{}, workflow.Sleep(ctx, 2*time.Minute)
	}).Once()
	onDiscover(env, "acme").Return(workflows.DiscoverSummary{}, nil).Once()

	expect(env, activities.NameListDueServers, activities.ListDueServersResult{Servers: servers("slow", "acme")}).Once()
	env.ExecuteWorkflow("parent")

	s := scanSummary(t, env)
	assert.Equal(t, workflows.ScanSummary{Started: 2, Servers: servers("slow", "acme")}, s)
}

func TestScanAllServersGoesOnPageByPage(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameListDueServers, mock.Anything, activities.ListDueServersInput{Limit: 200}).
		Return(activities.ListDueServersResult{Servers: servers("acme"), More: true}, nil).Once()
	onDiscover(env, "acme").Return(workflows.DiscoverSummary{}, nil).Once()

	env.ExecuteWorkflow(workflows.NameScanAllServers, workflows.ScanAllServersInput{Source: "manual"})

	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.ScanAllServersInput
	require.NoError(t, payloads(next, &in))
	assert.Equal(t, "uuid-acme", in.AfterUUID)
	assert.Equal(t, 1, in.Done.Started)
}
