package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// advanced reports that the last attempt of a round failed after it had brought
// some bytes in: it is worth another round at once.
func advanced(err error) bool {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.NonRetryable() || !app.HasDetails() {
		return false
	}
	var more activities.Advance
	return app.Details(&more) == nil && more.Advanced
}

// stopped reports that the worker was shut down, which is no failure of the step.
func stopped(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failureOf(err)
	return kind == activities.TypeStopped
}

// mayWait reports that the file can go on later from where it is now: it has no
// place to be fetched at, or could not be fetched for a round of attempts.
func (f *fileIngest) mayWait(err error) bool {
	return errors.Is(err, errNoPlace) ||
		f.step == ingest.StepDownload && f.restages <= maxRestages && !permanent(err) && !temporal.IsCanceledError(err)
}

// requeue makes the file ready again. Its checkpoint stays where it is, and the
// next workflow goes on from there.
func (f *fileIngest) requeue(ctx workflow.Context, cause error) (ingest.Status, error) {
	in := activities.RequeueFileInput{FileUUID: f.in.FileUUID, Key: workflow.GetInfo(ctx).WorkflowExecution.RunID}
	purpose := "wait for a place in the server's window"
	if !errors.Is(cause, errNoPlace) {
		kind, message := failureOf(cause)
		in.Deferred, in.Attempts = &ingest.Failure{Step: f.step, Kind: kind, Message: message}, round.MaximumAttempts
		purpose = "give its place to others and try again later: " + words(message)
	}
	var outcome activities.Outcome
	if err := workflow.ExecuteActivity(about(withQuick(ctx), purpose), activities.NameRequeueFile, in).Get(ctx, &outcome); err != nil {
		return "", err
	}
	if f.placed || in.Deferred != nil {
		f.giveBack(ctx, SlotFreed{FileUUID: f.in.FileUUID, Waiting: true}) // the scan stays for it
	}
	return outcome.Status, nil
}
