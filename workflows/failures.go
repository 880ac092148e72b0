package workflows

import (
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// timeoutMessages explain an activity's timeout.
var timeoutMessages = map[enumspb.TimeoutType]string{
	enumspb.TIMEOUT_TYPE_HEARTBEAT:         "no heartbeat from the worker that ran this step: it crashed or is disconnected",
	enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START: "no worker started this step in time: none is running, or all are saturated",
	enumspb.TIMEOUT_TYPE_START_TO_CLOSE:    "this step exceeded its timeout",
	enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: "this step was not completed in time",
}

// failureOf returns the kind and the message of an activity's error. Temporal
// rebuilds errors, so only the type of the ApplicationError can be compared.
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

// hostTimedOut reports whether no worker started the task in time.
func hostTimedOut(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
}

// serverLevel reports whether the error concerns the server as a whole.
func serverLevel(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failureOf(err)
	return kind.ServerLevel()
}

// permanent reports whether the activity returned a non-retryable error.
func permanent(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.NonRetryable()
}

// errNoSlot stops a step that reads from the server without a slot.
var errNoSlot = errors.New("it has no slot of its server")

// isNoSlot reports whether the file has no slot, or the ledger rejected it.
func isNoSlot(err error) bool {
	if err == nil || errors.Is(err, errNoSlot) {
		return err != nil
	}
	kind, _ := failureOf(err)
	return kind == ingest.KindNoSlot
}

// scanError returns the error with which a scan fails after its last listing returned
// err. It is nil if the server or a service that the scan depends on is the cause; the
// summary then has the failure. Other errors are returned: a panic, a timeout, a
// cancellation, and other kinds.
func scanError(err error) error {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return err
	}
	switch kind := ingest.Kind(app.Type()); kind {
	case ingest.KindTransient, ingest.KindSlow, ingest.KindPermission, ingest.KindNotFound, ingest.KindMissing, ingest.KindInvalid:
		return nil
	default:
		if kind.ServerLevel() {
			return nil
		}
		return err
	}
}

// advanced reports whether the last attempt of a round failed after it had
// transferred some bytes: another round may follow immediately.
func advanced(err error) bool {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.NonRetryable() || !app.HasDetails() {
		return false
	}
	var more activities.Advance
	return app.Details(&more) == nil && more.Advanced
}

// drained reports whether the attempt ended because its worker was shut down. That is not
// a failure of the step.
func drained(err error) bool {
	if err == nil {
		return false
	}
	kind, _ := failureOf(err)
	return kind == activities.TypeStopped
}

// localFirst tries a short step as a local activity with the summary purpose. If that
// neither succeeds nor fails permanently, fallback runs the step as a regular activity,
// so that retries are visible.
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
