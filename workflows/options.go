package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// heartbeatTimeout is how long a dead worker's transfer goes unnoticed.
// Activities heartbeat every 2 s.
const heartbeatTimeout = 30 * time.Second

// transferTimeout bounds one attempt of a step that moves bytes. Attempts are
// ended much earlier by heartbeats and by the no-progress watchdog; this only
// catches what neither sees, and a large file goes on from its checkpoint.
const transferTimeout = 24 * time.Hour

// patient retries without end, a minute apart at most: what is transient
// passes, and giving up would lose the file.
var patient = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    time.Minute,
}

// brief is for steps whose failure the next scheduled scan repairs.
var brief = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    30 * time.Second,
	MaximumAttempts:    3,
}

// tidy is for what is nice to have after a file is safe.
var tidy = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    5 * time.Minute,
	MaximumAttempts:    12,
}

// withQuick is for activities that ask the database or Temporal something.
func withQuick(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &patient,
	})
}

// withListing is for walks over a server.
func withListing(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 6 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &brief,
	})
}

// withHost is for steps that need the staged bytes: they run on the worker
// that has them, or time out waiting for it.
func withHost(ctx workflow.Context, queue string, wait time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		ScheduleToStartTimeout: wait,
		StartToCloseTimeout:    transferTimeout,
		HeartbeatTimeout:       heartbeatTimeout,
		RetryPolicy:            &patient,
	})
}

// withTidy is for the after-ingest action.
func withTidy(ctx workflow.Context, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         policy,
	})
}

// withLocal is for the first try of a short step inside the workflow task: it
// costs one history event instead of six. It must end well before the workflow
// task's time-out of 10 s.
func withLocal(ctx workflow.Context, purpose string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(purpose),
	})
}
