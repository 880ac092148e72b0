package worker

import (
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/workflows"
)

// registerShared registers all workflows and the activities that any worker can
// run because they need no staged bytes.
func registerShared(w sdkworker.Registry, acts *activities.Activities) {
	for name, fn := range workflows.Registered() {
		w.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
	registerActivities(w, acts.RegisteredShared())
}

// registerTransfers registers the activities of the queue for direct transfers.
func registerTransfers(w sdkworker.Registry, acts *activities.Activities) {
	registerActivities(w, acts.RegisteredTransfers())
}

// registerHost registers the activities that need the staged bytes of this host.
func registerHost(w sdkworker.Registry, acts *activities.Activities) {
	registerActivities(w, acts.RegisteredOnHost())
}

func registerActivities(w sdkworker.Registry, fns map[string]any) {
	for name, fn := range fns {
		w.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}
