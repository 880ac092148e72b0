package workflows

import "go.temporal.io/sdk/workflow"

// maxHandOvers bounds how often a step is begun anew because its worker was
// shut down: workers that stop more often than that are not being replaced,
// they are broken.
const maxRestarts = 50

// whole runs a step that has few attempts, and runs it anew whenever its worker
// was shut down under it: that is no failure of the step, and replacing the
// workers of an installation one by one must not use its attempts up. Steps
// with attempts without end need none of this.
func restartOnDrain(ctx workflow.Context, activity, in, out any) error {
	for handOvers := 0; ; handOvers++ {
		err := workflow.ExecuteActivity(ctx, activity, in).Get(ctx, out)
		if !drained(err) || handOvers == maxRestarts {
			return err
		}
	}
}
