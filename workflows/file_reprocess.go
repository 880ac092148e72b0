package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// listenToReprocess registers the update that returns the outcome of a reprocess action.
func (f *fileIngest) listenToReprocess(ctx workflow.Context) error {
	answer := func(ctx workflow.Context) error {
		if err := workflow.Await(ctx, func() bool { return f.reprocessed || f.refused != nil }); err != nil {
			return err
		}
		return f.refused
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, UpdateReprocess, answer, workflow.UpdateHandlerOptions{
		Validator: func(workflow.Context) error {
			if f.in.Reprocess == nil {
				return temporal.NewNonRetryableApplicationError("the file is being processed: check its status, then try again", string(ingest.KindConflict), nil)
			}
			return nil
		},
	})
}

// reprocess makes a completed file ready again; its server's dispatcher starts it
// like any ready file. If that is refused the file stays completed.
func (f *fileIngest) reprocess(ctx workflow.Context) (ingest.Status, error) {
	d := f.in.Reprocess
	again := withSummary(withReprocess(ctx), "reprocess, by "+quote(d.Actor)+": "+quote(d.Reason))
	err := workflow.ExecuteActivity(again, do.Reprocess, activities.ReprocessInput{
		FileUUID: f.in.FileUUID, Actor: d.Actor, Reason: d.Reason, Entry: d.Entry, Key: workflow.GetInfo(ctx).WorkflowExecution.RunID,
	}).Get(ctx, nil)
	if err != nil {
		kind, message := failureOf(err)
		f.refused = temporal.NewNonRetryableApplicationError(message, string(kind), nil)
		if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
			return "", err
		}
		return "", f.refused
	}
	f.reprocessed = true
	return f.end(ctx, ingest.StatusReady)
}

// withReprocess is for checking server and object while the operator waits.
func withReprocess(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 2 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}
