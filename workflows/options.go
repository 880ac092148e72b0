package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/internal/ingest"
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
var unlimitedRetry = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    time.Minute,
}

// brief is for steps whose failure the next scheduled scan repairs.
var limitedRetry = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    30 * time.Second,
	MaximumAttempts:    3,
}

// tidy is for what is left to do after a file is safe: it holds up nobody, and
// a partner may count on it however long their server is away.
var afterIngestRetry = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    15 * time.Minute,
}

// round is for bringing a file's bytes in, which takes a slot of its server: after
// two tries without a byte the slot goes to another file. One round follows
// another without end, after longer and longer times.
var roundRetry = temporal.RetryPolicy{
	InitialInterval: time.Second,
	MaximumAttempts: ingest.RoundAttempts,
}

// lastTry is round for a file of which one try has failed already.
var lastRoundRetry = temporal.RetryPolicy{MaximumAttempts: ingest.RoundAttempts - 1}

// withQuick is for activities that ask the database or Temporal something.
func withQuick(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &unlimitedRetry,
	})
}

// withStarts is for starting the scans of all servers, which continues after the
// last page when its worker dies.
func withStarts(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    10 * time.Second,
		RetryPolicy:         &unlimitedRetry,
	})
}

// withTryListing is for the listing within the workflow task. Most of its time it
// may wait for its turn among a thousand others.
func withTryListing(ctx workflow.Context, purpose string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(purpose),
	})
}

// withListing is for walks over a server.
func withListing(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 6 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}

// withDispatcher is for the dispatcher of a server. It runs for as long as files
// are in flight, and must be missed soon when its worker dies.
func withDispatcher(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: transferTimeout,
		HeartbeatTimeout:    10 * time.Second,
		RetryPolicy:         &unlimitedRetry,
		WaitForCancellation: true,
	})
}

// withTransfer is for a direct transfer: any worker of the queue may continue it.
func withTransfer(ctx workflow.Context, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           ingest.TransferQueue(workflow.GetInfo(ctx).TaskQueueName),
		StartToCloseTimeout: transferTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         policy,
	})
}

// withClaim is for finding a host with room.
func withClaim(ctx workflow.Context) workflow.Context {
	return workflow.WithRetryPolicy(withQuick(ctx), roundRetry)
}

// withHost is for steps that need the staged bytes: they run on the worker
// that has them, or time out waiting for it.
func withHost(ctx workflow.Context, queue string, wait time.Duration, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		ScheduleToStartTimeout: wait,
		StartToCloseTimeout:    transferTimeout,
		HeartbeatTimeout:       heartbeatTimeout,
		RetryPolicy:            policy,
	})
}

// withTidy is for the after-ingest action.
func withAfterIngest(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &afterIngestRetry,
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
