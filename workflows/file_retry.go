package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// errNoSlot is why a file without a slot is not fetched.
var errNoSlot = errors.New("it has no slot of its server")

// isNoSlot reports that the ledger rejected the slot.
func isNoSlot(err error) bool {
	if err == nil || errors.Is(err, errNoSlot) {
		return err != nil
	}
	kind, _ := failureOf(err)
	return kind == ingest.KindNoSlot
}

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

// restage decides whether fetching the file again is the answer to err.
func (f *fileIngest) restage(err error) bool {
	switch kind, _ := failureOf(err); {
	case kind == ingest.KindHashMismatch && f.mismatches < maxMismatches:
		f.mismatches++
	case kind == ingest.KindStagingLost || hostTimedOut(err):
		f.host = activities.Host{}
	default:
		return false
	}
	f.restages++
	return f.restages <= maxRestages
}

// mayWait reports that the file can be resumed later: it has no slot, or could
// not be fetched for a round of attempts.
func (f *fileIngest) mayWait(err error) bool {
	info, _ := f.step.Info()
	return isNoSlot(err) ||
		info.Fetches && f.restages <= maxRestages && !permanent(err) && !temporal.IsCanceledError(err)
}

// requeue makes the file ready again and releases its slot. Its checkpoint stays
// where it is, and the next workflow resumes from there.
func (f *fileIngest) requeue(ctx workflow.Context, cause error) (ingest.Status, error) {
	in := activities.RequeueFileInput{FileUUID: f.in.FileUUID, Slot: f.slot, Key: workflow.GetInfo(ctx).WorkflowExecution.RunID}
	purpose := "wait for a slot of the server"
	if !isNoSlot(cause) {
		kind, message := failureOf(cause)
		in.Deferred, in.Attempts = &ingest.Failure{Step: f.step, Kind: kind, Message: message}, round.MaximumAttempts
		purpose = "release the slot and try again later: " + words(message)
	}
	f.slot = 0
	var outcome activities.Outcome
	err := workflow.ExecuteActivity(about(withQuick(ctx), purpose), do.RequeueFile, in).Get(ctx, &outcome)
	return outcome.Status, err
}

// claimHost finds a worker with room for the file, beginning with the one that
// runs this workflow task.
func (f *fileIngest) claimHost(ctx workflow.Context) error {
	if f.host.Queue != "" || f.host.Direct {
		return nil
	}
	in := activities.ClaimHostInput{FileUUID: f.in.FileUUID, Size: f.in.Size}
	purpose := "find a worker with room for " + size(f.in.Size)
	return localFirst(ctx, do.ClaimHost, purpose, in, &f.host, func() error {
		return workflow.ExecuteActivity(about(withClaim(ctx), purpose), do.ClaimHost, in).Get(ctx, &f.host)
	})
}

// onHost runs a step on the worker that has the staged bytes. Waiting too long
// there is not yet its death: a saturated host still lives, and then the wait
// goes on.
func (f *fileIngest) onHost(ctx workflow.Context, queue string, policy *temporal.RetryPolicy, step any, purpose string, in any) error {
	if f.host.Queue == "" { // a retry from a later step finds no host: fetch the file again
		return temporal.NewApplicationError("no host has the file staged", string(ingest.KindStagingLost))
	}
	for {
		err := workflow.ExecuteActivity(about(withHost(ctx, queue, f.host.Timeout, policy), purpose), step, in).Get(ctx, nil)
		if !hostTimedOut(err) {
			return err
		}
		var check activities.CheckHostResult
		in := activities.CheckHostInput{Queue: f.host.Queue}
		asking := about(withQuick(ctx), "does "+f.host.Queue+" live?")
		if err := workflow.ExecuteActivity(asking, do.CheckHost, in).Get(ctx, &check); err != nil {
			return err
		}
		if !check.Alive {
			return err
		}
	}
}
