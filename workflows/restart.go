package workflows

import "go.temporal.io/sdk/workflow"

// maxRestarts bounds the restarts of a step because its worker was shut down. More
// shutdowns during one step mean that workers crash.
const maxRestarts = 50

// restartOnDrain runs a step with few attempts and restarts it when its worker was
// shut down: a rolling restart of all workers must not use up the attempts. Steps
// with unlimited attempts do not need it.
func restartOnDrain(ctx workflow.Context, activity, in, out any) error {
	for restarts := 0; ; restarts++ {
		err := workflow.ExecuteActivity(ctx, activity, in).Get(ctx, out)
		if !drained(err) || restarts == maxRestarts {
			return err
		}
	}
}
