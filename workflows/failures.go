package workflows

import (
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// silences say what it means that an activity did not answer.
var timeoutMessages = map[enumspb.TimeoutType]string{
	enumspb.TIMEOUT_TYPE_HEARTBEAT:         "the worker that did this step has not been heard of since: it died or is cut off",
	enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START: "no worker took this step in time: none runs, or all are busy",
	enumspb.TIMEOUT_TYPE_START_TO_CLOSE:    "this step took longer than it may",
	enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: "this step was not done in time",
}

// failureOf reads an activity's error: its kind and its line for people.
// Errors are rebuilt on their way through the server, so only the type of the
// ApplicationError can be compared.
func failureOf(err error) (ingest.Kind, string) {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return ingest.Kind(app.Type()), app.Message()
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		return ingest.KindTransient, timeoutMessages[timeout.TimeoutType()]
	}
	return ingest.KindTransient, err.Error()
}

// hostTimedOut reports that no worker took the task in time.
func hostTimedOut(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
}

// serverLevel reports that the fault is the server's as a whole.
func serverLevel(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failureOf(err)
	return kind.ServerLevel()
}

// permanent reports that an activity said that trying again cannot help.
func permanent(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.NonRetryable()
}

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
func drained(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failureOf(err)
	return kind == activities.TypeStopped
}

// localFirst tries a short step within the workflow task and falls back to an
// ordinary activity, whose attempts everybody can see, as soon as it meets
// anything but success or a permanent error. purpose is the summary of the
// local one.
func localFirst(ctx workflow.Context, activity any, purpose string, in, out any, fallback func() error) error {
	err := workflow.ExecuteLocalActivity(withLocal(ctx, purpose), activity, in).Get(ctx, out)
	if err == nil || temporal.IsCanceledError(err) {
		return err
	}
	var app *temporal.ApplicationError
	if permanent(err) && errors.As(err, &app) && app.Type() != activities.TypeOtherHost {
		return err
	}
	return fallback()
}
