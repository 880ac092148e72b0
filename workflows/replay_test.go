package workflows_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stevedore/workflows"
)

// TestReplay replays the histories of every release: open workflows must continue after an
// upgrade. Fixtures are recorded from a release's own code, never from a branch, and never
// changed.
func TestReplay(t *testing.T) {
	t.Parallel()
	fixtures, err := filepath.Glob("testdata/replay/*/*.json")
	require.NoError(t, err)
	replayed := map[string]bool{}
	for _, fixture := range fixtures {
		t.Run(strings.TrimPrefix(fixture, "testdata/replay/"), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			for name, fn := range workflows.Registered() {
				replayer.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
			}
			history, err := client.HistoryFromJSON(open(t, fixture), client.HistoryJSONOptions{})
			require.NoError(t, err)
			require.NoError(t, replayer.ReplayWorkflowHistory(nil, history))
			started := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
			replayed[started.GetWorkflowType().GetName()] = true
		})
	}
	for name := range workflows.Registered() {
		require.True(t, replayed[name], "no recorded history of %s", name)
	}
}
