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

// withQuick returns options for calls to the database or Temporal.
func withQuick(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &unlimitedRetry,
	})
}

// withStarts returns options for StartScans. A retry continues after the last finished page.
func withStarts(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    10 * time.Second,
		RetryPolicy:         &unlimitedRetry,
	})
}

// withTryListing returns options for TryListing, which may first wait for other listings in the same
// process. The listing itself takes at most TryLimit.
func withTryListing(ctx workflow.Context, purpose string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(purpose),
	})
}

// withListing returns options for ListServerFiles and RecheckSettling, which may run for hours.
func withListing(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 6 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}

// withDispatcher returns options for DispatchFiles, which runs as long as files are in flight. The short
// heartbeat timeout replaces it soon after its worker crashes.
func withDispatcher(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: transferTimeout,
		HeartbeatTimeout:    10 * time.Second,
		RetryPolicy:         &unlimitedRetry,
		WaitForCancellation: true,
	})
}

// withTransfer returns options for Transfer, which any worker of the queue can continue.
func withTransfer(ctx workflow.Context, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           temporalnames.TransferQueue(workflow.GetInfo(ctx).TaskQueueName),
		StartToCloseTimeout: transferTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         policy,
	})
}

// withClaim returns options for ClaimHost, which finds a host with room in its staging.
func withClaim(ctx workflow.Context) workflow.Context {
	return workflow.WithRetryPolicy(withQuick(ctx), roundRetry)
}

// withHost returns options for the steps that need staged bytes. They run on the host of the queue, or
// fail if it does not start them within the time to wait.
func withHost(ctx workflow.Context, queue string, wait time.Duration, policy *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		ScheduleToStartTimeout: wait,
		StartToCloseTimeout:    transferTimeout,
		HeartbeatTimeout:       heartbeatTimeout,
		RetryPolicy:            policy,
	})
}

// withAfterIngest returns options for AfterIngest.
func withAfterIngest(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &afterIngestRetry,
	})
}

// withLocal returns options for the first attempt of a short step within the workflow task, which
// costs one history event instead of six. It must end well before the workflow task
// timeout of 10 s.
func withLocal(ctx workflow.Context, purpose string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(purpose),
	})
}
