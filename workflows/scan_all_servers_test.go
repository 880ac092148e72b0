package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/workflows"
)

// TestScanAllServersIsOneActivity: the activity's pass is the run id, so that a retry after
// a crash does not signal scans again.
func TestScanAllServersIsOneActivity(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	want := workflows.ScanSummary{Started: 2, AlreadyRunning: 1, Servers: []activities.ServerRef{{UUID: "u", Name: "acme"}}}
	env.OnActivity(activities.NameStartScans, mock.Anything, activities.StartScansInput{
		Pass: "default-test-run-id", Source: "schedule", Servers: []string{"acme"}, Force: true, Tick: time.Minute,
	}).Return(want, nil).Once()
	env.ExecuteWorkflow(workflows.NameScanAllServers, workflows.ScanAllServersInput{
		Source: "schedule", Servers: []string{"acme"}, Force: true, Tick: time.Minute,
	})
	require.NoError(t, env.GetWorkflowError())
	var got workflows.ScanSummary
	require.NoError(t, env.GetWorkflowResult(&got))
	assert.Equal(t, want, got)
}
