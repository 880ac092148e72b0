package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// TypeStopped is the type of the benign error with which an attempt hands over
// when its worker shuts down.
const TypeStopped = "stopped"

// TypeOtherHost is the type of the error with which a local activity says that
// the staged file is not on the worker that runs the workflow.
const TypeOtherHost = "other_host"

// handOverDelay is how soon another attempt follows one that was stopped by a
// shutdown: long enough for the worker to be gone, short enough not to be seen.
const drainDelay = 2 * time.Second

// Advance is the detail of an error that says whether the attempt got further
// than the one before.
type Advance struct {
	Advanced bool `json:"advanced"`
}

// advancedDelay is how soon another attempt follows one that got further.
const advancedDelay = time.Second

// applicationError is the only place where an error becomes a Temporal
// ApplicationError. Its type is the ingest.Kind, because sentinel errors do
// not survive the way through the server, and its message is the line for people.
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
	return temporal.NewApplicationErrorWithOptions(message(err), string(kind), options)
}

// early is the error of what a partner may not have finished: it is tried again for
// a bounded time before it becomes an error of the kind that waits for a person.
type provisional struct {
	error
	finalKind ingest.Kind
}

// Unwrap returns the error that it is to Temporal.
func (e provisional) Unwrap() error { return e.error }

// granted is a refusal of what a server does for a file that it let be opened. A lock
// or a quota is behind it more likely than a missing permission.
type refusedAfterOpen struct{ error }

// Unwrap returns the refusal.
func (g refusedAfterOpen) Unwrap() error { return g.error }

// afterOpen marks a refusal that came after the file was opened.
func afterOpen(err error) error {
	if err != nil && ingest.KindOf(err) == ingest.KindPermission {
		return refusedAfterOpen{err}
	}
	return err
}

// mayPass makes of a refusal of the file to be fetched one that is tried again for a
// while: servers on Windows refuse a file while its writer holds it, soon after it
// was first seen; one that was opened is tried openedTries times in any case.
func (a *Activities) retryPermission(err error, file ingest.File, attempt int32) error {
	if err == nil || ingest.KindOf(err) != ingest.KindPermission {
		return err
	}
	until := file.StableSince.Add(a.ChecksumWait)
	if time.Now().Before(until) {
		return provisional{ingest.Wrap(ingest.KindTransient, err, "%s; it may be locked or still written: tried again until %s",
			message(err), until.UTC().Format(time.RFC3339)), ingest.KindPermission}
	}
	tries := file.Deferrals*ingest.RoundAttempts + int(attempt)
	if errors.As(err, &refusedAfterOpen{}) && tries < openedAttempts {
		return provisional{ingest.Wrap(ingest.KindTransient, err, "%s; it may be locked: tried again, %d more times",
			message(err), openedAttempts-tries), ingest.KindPermission}
	}
	return err
}

// openedTries is how often a file is tried that may be opened but not read. They are
// spread over some minutes, by the deferrals between the rounds.
const openedAttempts = 10

// earlyDelay is how often such a thing is tried again.
const provisionalDelay = 10 * time.Second

// handOver is applicationError for steps with few attempts: that the worker
// shuts down must not use one up, so the workflow begins the step anew.
func drainError(err error) error {
	if !errors.Is(err, ingest.ErrStopped) {
		return applicationError(err)
	}
	return temporal.NewApplicationErrorWithOptions("the worker is shutting down; another one begins anew", TypeStopped,
		temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign})
}

// message returns the line for people of err.
func message(err error) string {
	var e *ingest.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return ingest.DisplayPath(err.Error())
}

// held reports that the attempt was ended because an operator paused or reset
// the step. The server then schedules the next one, or holds it.
func pausedOrReset(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, activity.ErrActivityPaused) || errors.Is(cause, activity.ErrActivityReset)
}

// giveWay puts a file behind the others of its server: another try at once would
// take as long, and keep a slot that others wait for. The workflow learns that it has
// no slot any more, and ends until the file's time has come.
func (a *Activities) deferFile(ctx context.Context, step ingest.Step, file ingest.File, cause error) error {
	info := activity.GetInfo(ctx)
	why := ingest.Failure{Step: step, Kind: ingest.KindOf(cause), Message: message(cause)}
	key := info.WorkflowExecution.RunID + "/" + string(why.Kind)
	if err := a.apply(ctx, file, ingest.Deferred(file, why, info.Attempt, 0, key)); err != nil {
		return errors.Join(cause, err)
	}
	return ingest.Wrap(ingest.KindNoSlot, cause, "%s", why.Message)
}

// longTry is how long a try may take that is repeated at once: one that a server
// left without an answer for longer has kept its slot long enough.
const longAttempt = 10 * time.Second

// tookLong reports that an attempt to fetch a file has brought nothing for so long
// that the file gives way.
func tookTooLong(ctx context.Context, step ingest.Step, err error) bool {
	info, _ := step.Info()
	further := advanced{}
	return info.Fetches && ingest.IsKind(err, ingest.KindTransient) && !errors.As(err, &further) &&
		time.Since(activity.GetInfo(ctx).StartedTime) > longAttempt
}

// settle turns a step's error into what Temporal sees, and on the way tells
// the ledger why the step will be tried again, so that "attempt N, because"
// has its answer in the database, too. Failing to write that note is not a
// failure of the step.
func (a *Activities) finishStep(ctx context.Context, step ingest.Step, file ingest.File, err error) error {
	if err != nil && pausedOrReset(ctx) {
		return temporal.NewApplicationErrorWithOptions("an operator paused or reset this step; progress is kept", TypeStopped,
			temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign, Cause: err})
	}
	if info, _ := step.Info(); info.Fetches {
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
	note := ingest.RetryScheduled(file, ingest.Failure{Step: step, Kind: kind, Message: message(err)}, activity.GetInfo(ctx).Attempt)
	// What comes after the upload needs nothing of the server, or may wait long for
	// it, and so may staged bytes for their checksum: other files use the slot meanwhile.
	note.FreeSlot = step == ingest.StepNotify || step == ingest.StepAfter || step == ingest.StepVerify
	if noteErr := a.apply(ctx, file, note); noteErr != nil {
		a.Log.WarnContext(ctx, "cannot note the retry in the ledger", "file", file.UUID, "error", noteErr)
	}
	return applicationError(err)
}
