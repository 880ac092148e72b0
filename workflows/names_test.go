package workflows_test

import (
	"maps"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestRegisteredNames pins the names that running workflows refer to. Without a name in the
// golden file, open workflows that use it cannot continue.
func TestRegisteredNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(workflows.Registered())) {
		names = append(names, "workflow "+name)
	}
	for _, name := range slices.Sorted(maps.Keys((&activities.Activities{}).Registered())) {
		names = append(names, "activity "+name)
	}
	for _, name := range []string{workflows.SignalRescan, workflows.SignalFileReady} {
		names = append(names, "signal "+name)
	}
	names = append(names, "update "+workflows.UpdateRetry, "update "+workflows.UpdateSkip,
		"update "+workflows.UpdateRenotify, "update "+workflows.UpdateReprocess, "query "+workflows.QueryStatus)
	want, err := os.ReadFile("testdata/names.golden")
	require.NoError(t, err)
	assert.Equal(t, string(want), strings.Join(names, "\n")+"\n")
}

// TestActivitiesAreNamedAsTheirMethods: workflows refer to activities by method, and the SDK
// derives the name from it.
func TestActivitiesAreNamedAsTheirMethods(t *testing.T) {
	t.Parallel()
	for name, fn := range (&activities.Activities{}).Registered() {
		full := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()
		method := strings.TrimSuffix(full[strings.LastIndex(full, ".")+1:], "-fm")
		assert.Equal(t, method, name)
	}
}

// TestStepsHaveActivities: operators pause the activity of a step; progress and metrics map
// activities to steps.
func TestStepsHaveActivities(t *testing.T) {
	t.Parallel()
	registered := (&activities.Activities{}).Registered()
	var steps []ingest.Step
	for _, info := range ingest.Steps {
		steps = append(steps, info.Step)
		assert.Equal(t, info.Step, activities.StepOf[activities.ActivityOf[info.Step]], "the activity of %s is of that step", info.Step)
	}
	assert.ElementsMatch(t, steps, slices.Collect(maps.Keys(activities.ActivityOf)))
	for name, step := range activities.StepOf {
		assert.Contains(t, registered, name)
		assert.Contains(t, append(steps, ingest.StepDiscover), step, name)
	}
}

// TestHostActivitiesAreRegisteredWhereTheyAreScheduled: an activity on a queue whose
// workers have not registered it would fail forever.
func TestHostActivitiesAreRegisteredWhereTheyAreScheduled(t *testing.T) {
	t.Parallel()
	a := &activities.Activities{}
	all := a.Registered()
	shared, host, transfers := a.RegisteredShared(), a.RegisteredOnHost(), a.RegisteredTransfers()
	onHost := []string{activities.NameDownload, activities.NameVerifyHash, activities.NameUpload, activities.NameDiscardStaged, activities.NameSweepStaging}
	assert.ElementsMatch(t, onHost, slices.Collect(maps.Keys(host)))
	assert.ElementsMatch(t, []string{activities.NameTransfer}, slices.Collect(maps.Keys(transfers)))
	for name := range all {
		elsewhere := name == activities.NameTransfer || slices.Contains(onHost, name) && name != activities.NameVerifyHash
		assert.Equal(t, !elsewhere, shared[name] != nil, name)
	}
}
