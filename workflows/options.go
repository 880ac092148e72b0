package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// heartbeatTimeout bounds the time until a transfer of a crashed worker is retried.
// Activities heartbeat every 2 s.
const heartbeatTimeout = 30 * time.Second

// transferTimeout bounds one attempt of a step that moves bytes. Heartbeats and the
// stall watchdog end attempts much earlier; a large file resumes from its checkpoint.
const transferTimeout = 24 * time.Hour

// unlimitedRetry retries forever, at most a minute apart: transient errors pass, and
// giving up would lose the file.
var unlimitedRetry = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    time.Minute,
}

// limitedRetry is for steps whose failure the next scheduled run repairs.
var limitedRetry = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    30 * time.Second,
	MaximumAttempts:    3,
}

// afterIngestRetry is for the after-ingest action. It delays no other file, and
// partners rely on it however long their server is unreachable.
var afterIngestRetry = temporal.RetryPolicy{
	InitialInterval:    time.Second,
	BackoffCoefficient: 2,
	MaximumInterval:    15 * time.Minute,
}

// roundRetry is for steps that read from a server and use one of its slots: after two
// attempts without a byte the file is deferred and its slot is released. Rounds repeat
// forever, with increasing delays.
var roundRetry = temporal.RetryPolicy{
	InitialInterval: time.Second,
	MaximumAttempts: ingest.RoundAttempts,
}

// lastRoundRetry is roundRetry after one failed attempt.
var lastRoundRetry = temporal.RetryPolicy{MaximumAttempts: ingest.RoundAttempts - 1}

// withQuick is for calls to the database or Temporal.
func withQuick(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &unlimitedRetry,
	})
}

// withStarts is for starting the scans of all servers; a retry continues after the
// last finished page.
func withStarts(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    10 * time.Second,
		RetryPolicy:         &unlimitedRetry,
	})
}

// withTryListing is for the listing within the workflow task. Most of the time it may
// wait in the queue of a thousand others.
func withTryListing(ctx workflow.Context, purpose string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(purpose),
	})
}

// withListing is for listing a server or its settling files.
func withListing(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 6 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}

// withDispatcher is for the dispatcher of a server. It runs as long as files are in
// flight; the short heartbeat timeout replaces it soon after its worker crashes.
func withDispatcher(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: transferTimeout,
		HeartbeatTimeout:    10 * time.Second,
		RetryPolicy:         &unlimitedRetry,
		WaitForCancellation: true,
	})
}

// withTransfer is for a direct transfer: any worker of the queue can continue it.
func withTransfer(ctx workflow.Context, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           temporalnames.TransferQueue(workflow.GetInfo(ctx).TaskQueueName),
		StartToCloseTimeout: transferTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         policy,
	})
}

// withClaim is for finding a host with room.
func withClaim(ctx workflow.Context) workflow.Context {
	return workflow.WithRetryPolicy(withQuick(ctx), roundRetry)
}

// withHost is for steps that need the staged bytes: they run on the host that has
// them, or time out waiting for it.
func withHost(ctx workflow.Context, queue string, wait time.Duration, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		ScheduleToStartTimeout: wait,
		StartToCloseTimeout:    transferTimeout,
		HeartbeatTimeout:       heartbeatTimeout,
		RetryPolicy:            policy,
	})
}

// withAfterIngest is for the after-ingest action.
func withAfterIngest(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &afterIngestRetry,
	})
}

// withLocal is for the first attempt of a short step within the workflow task, which
// costs one history event instead of six. It must end well before the workflow task
// timeout of 10 s.
func withLocal(ctx workflow.Context, purpose string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(purpose),
	})
}
