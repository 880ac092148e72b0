package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// TypeStopped is the type of the benign error of an attempt that ends because its
// worker shuts down.
const TypeStopped = "stopped"

// TypeOtherHost is the type of the error of a local activity that needs staged bytes of
// another host.
const TypeOtherHost = "other_host"

// drainDelay is the delay of the next attempt after a shutdown has ended one: long enough
// for the worker to exit.
const drainDelay = 2 * time.Second

// Advance is the detail of an error; Advanced: the attempt made progress.
type Advance struct {
	Advanced bool `json:"advanced"`
}

// advancedDelay is the delay of the next attempt after one with progress.
const advancedDelay = time.Second

// applicationError converts any error to a Temporal ApplicationError. Its type is the
// ingest.Kind, because Temporal rebuilds errors and does not preserve sentinels. Its
// message is ingest.Message.
func applicationError(err error) error {
	if err == nil {
		return nil
	}
	var already *temporal.ApplicationError
	if errors.As(err, &already) {
		return already
	}
	if errors.Is(err, ingest.ErrStopped) {
		return temporal.NewApplicationErrorWithOptions("the worker is shutting down; progress is kept", TypeStopped,
			temporal.ApplicationErrorOptions{NextRetryDelay: drainDelay, Category: temporal.ApplicationErrorCategoryBenign})
	}
	if errors.Is(err, context.Canceled) {
		return temporal.NewCanceledError()
	}
	kind := ingest.KindOf(err)
	options := temporal.ApplicationErrorOptions{NonRetryable: kind.Permanent(), Cause: err}
	if kind == ingest.KindFenced {
		options.Category = temporal.ApplicationErrorCategoryBenign
	}
	if soon := (provisional{}); errors.As(err, &soon) {
		options.NextRetryDelay = provisionalDelay
	}
	if further := (advanced{}); errors.As(err, &further) {
		options.NextRetryDelay, options.Details = advancedDelay, []any{Advance{Advanced: true}}
	}
	return temporal.NewApplicationErrorWithOptions(ingest.Message(err), string(kind), options)
}

// provisional is an error that the partner may still resolve. It is retried for a
// bounded time before it becomes permanent, with the kind finalKind.
type provisional struct {
	error
	finalKind ingest.Kind
}

// Unwrap returns the transient error.
func (e provisional) Unwrap() error { return e.error }

// refusedAfterOpen is a permission error for a file that could be opened. Its cause is
// more likely a lock or a quota than a missing permission.
type refusedAfterOpen struct{ error }

// Unwrap returns the permission error.
func (g refusedAfterOpen) Unwrap() error { return g.error }

// afterOpen marks a permission error that occurred after the file was opened.
func afterOpen(err error) error {
	if err != nil && ingest.KindOf(err) == ingest.KindPermission {
		return refusedAfterOpen{err}
	}
	return err
}

// retryPermission makes permission errors of a file transient for a time: servers on
// Windows refuse a new file while its writer has it open. A file that could be opened
// is tried at least openedAttempts times.
func (a *Activities) retryPermission(err error, file ingest.File, attempt int32) error {
	if err == nil || ingest.KindOf(err) != ingest.KindPermission {
		return err
	}
	until := file.StableSince.Add(a.ChecksumWait)
	if time.Now().Before(until) {
		return provisional{ingest.Wrap(ingest.KindTransient, err, "%s; it may be locked or still being written: retried until %s",
			ingest.Message(err), until.UTC().Format(time.RFC3339)), ingest.KindPermission}
	}
	tries := file.Deferrals*ingest.RoundAttempts + int(attempt)
	if errors.As(err, &refusedAfterOpen{}) && tries < openedAttempts {
		return provisional{ingest.Wrap(ingest.KindTransient, err, "%s; it may be locked: retried, %d attempts left",
			ingest.Message(err), openedAttempts-tries), ingest.KindPermission}
	}
	return err
}

// openedAttempts is the number of attempts for a file that can be opened but not read.
// The deferrals between rounds spread them over some minutes.
const openedAttempts = 10

// provisionalDelay is the delay between attempts after a provisional error.
const provisionalDelay = 10 * time.Second

// drainError is applicationError for steps with few attempts: a shutdown of the worker
// must not use one up, so the workflow restarts the step.
func drainError(err error) error {
	if !errors.Is(err, ingest.ErrStopped) {
		return applicationError(err)
	}
	return temporal.NewApplicationErrorWithOptions("the worker is shutting down; the step is restarted on another worker", TypeStopped,
		temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign})
}

// pausedOrReset reports whether an operator paused or reset the step, which ended the
// attempt. Temporal schedules the next one or keeps it paused.
func pausedOrReset(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, activity.ErrActivityPaused) || errors.Is(cause, activity.ErrActivityReset)
}

// deferFile defers the file and releases its slot, because an immediate retry would take
// as long again while other files wait. KindNoSlot then ends the workflow.
func (a *Activities) deferFile(ctx context.Context, step ingest.Step, file ingest.File, cause error) error {
	info := activity.GetInfo(ctx)
	why := ingest.Failure{Step: step, Kind: ingest.KindOf(cause), Message: ingest.Message(cause)}
	key := info.WorkflowExecution.RunID + "/" + string(why.Kind)
	if err := a.apply(ctx, file, ingest.Deferred(file, why, info.Attempt, 0, key)); err != nil {
		return errors.Join(cause, err)
	}
	return ingest.Wrap(ingest.KindNoSlot, cause, "%s", why.Message)
}

// longAttempt is the duration after which a fruitless attempt is not repeated
// immediately: it has held its slot long enough.
const longAttempt = 10 * time.Second

// tookTooLong reports whether an attempt to fetch the file made no progress for longer
// than longAttempt.
func tookTooLong(ctx context.Context, step ingest.Step, err error) bool {
	info, _ := step.Info()
	further := advanced{}
	return info.Fetches && ingest.IsKind(err, ingest.KindTransient) && !errors.As(err, &further) &&
		time.Since(activity.GetInfo(ctx).StartedTime) > longAttempt
}

// finishStep converts a step's error for Temporal and records in the ledger why the step
// will be retried. A failure to record that does not fail the step.
func (a *Activities) finishStep(ctx context.Context, step ingest.Step, file ingest.File, err error) error {
	if err != nil && pausedOrReset(ctx) {
		return temporal.NewApplicationErrorWithOptions("an operator paused or reset this step; progress is kept", TypeStopped,
			temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign, Cause: err})
	}
	info, _ := step.Info()
	if info.Fetches {
		err = a.retryPermission(err, file, activity.GetInfo(ctx).Attempt)
	}
	kind := ingest.KindOf(err)
	if err == nil || kind.Permanent() || errors.Is(err, ingest.ErrStopped) || ctx.Err() != nil {
		return applicationError(err)
	}
	if kind == ingest.KindSlow || tookTooLong(ctx, step, err) {
		return applicationError(a.deferFile(ctx, step, file, err))
	}
	soon := provisional{}
	waits := errors.As(err, &soon)
	if waits {
		kind = soon.finalKind
	}
	note := ingest.RetryScheduled(file, ingest.Failure{Step: step, Kind: kind, Message: ingest.Message(err)}, activity.GetInfo(ctx).Attempt)
	note.FreeSlot = info.FreesSlotOnRetry
	if noteErr := a.apply(ctx, file, note); noteErr != nil {
		a.Log.WarnContext(ctx, "cannot record a retry in the ledger", "file", file.UUID, "error", noteErr)
	}
	return applicationError(err)
}
