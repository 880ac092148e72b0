package workflows_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/workflows"
)

// TestRegisteredNames pins the names that running workflows refer to. A name
// that disappears from the golden file strands every open workflow that uses it.
func TestRegisteredNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(workflows.Registered())) {
		names = append(names, "workflow "+name)
	}
	for _, name := range slices.Sorted(maps.Keys((&activities.Activities{}).Registered())) {
		names = append(names, "activity "+name)
	}
	for _, name := range []string{workflows.SignalRescan, workflows.SignalSlotFreed} {
		names = append(names, "signal "+name)
	}
	names = append(names, "update "+workflows.UpdateRetry, "update "+workflows.UpdateSkip,
		"update "+workflows.UpdateRenotify, "query "+workflows.QueryStatus)
	want, err := os.ReadFile("testdata/names.golden")
	require.NoError(t, err)
	assert.Equal(t, string(want), strings.Join(names, "\n")+"\n")
}
