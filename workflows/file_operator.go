package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// Decision is what an operator says about a parked file.
type Decision struct {
	// From is the step to retry from: download, verify, upload or notify, but
	// none after the one that failed; empty means that one. Skip ignores it.
	From ingest.Step `json:"from,omitempty"`
	// Actor and Reason go to the ledger. A signal by hand may leave them out.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// IngestStatus answers QueryStatus.
type IngestStatus struct {
	Step ingest.Step `json:"step"`
	// Mode is the transfer mode.
	Mode ingest.Mode `json:"mode"`
	// Host is the task queue of the worker that has the staged bytes.
	Host string `json:"host,omitempty"`
	// Parked is set while the file waits for an operator.
	Parked *ingest.Failure `json:"parked,omitempty"`
	// Restages counts how often the file was fetched anew.
	Restages int `json:"restages"`
}

// decision is a Decision and what it decides.
type decision struct {
	Decision
	action string
}

// listenToOperators makes the workflow answer queries and take operator actions.
func (f *fileIngest) listenToOperators(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (IngestStatus, error) {
		return IngestStatus{Step: f.step, Mode: f.mode, Host: f.host.Queue, Parked: f.parked, Restages: f.restages}, nil
	})
	if err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateRetry, ingest.ActionRetry); err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateSkip, ingest.ActionSkip); err != nil {
		return err
	}
	return f.listen(ctx, UpdateRenotify, ingest.ActionRenotify)
}

// listen takes decisions as updates, which answer, and as signals, which do not.
func (f *fileIngest) listen(ctx workflow.Context, name, action string) error {
	take := func(ctx workflow.Context, d Decision) error {
		if action == ingest.ActionRenotify {
			d.From = ingest.StepNotify
		}
		f.decision = &decision{Decision: d, action: action}
		f.describe(ctx)
		return nil
	}
	options := workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, d Decision) error { return f.acceptable(d, action) }}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, name, take, options); err != nil {
		return err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var d Decision
			workflow.GetSignalChannel(ctx, name).Receive(ctx, &d)
			if ctx.Err() != nil {
				return
			}
			if d.Actor == "" {
				d.Actor, d.Reason = "signal", "by hand: "+d.Reason
			}
			if err := f.acceptable(d, action); err != nil {
				workflow.GetLogger(ctx).Warn("signal ignored", "signal", name, "error", err)
				continue
			}
			_ = take(ctx, d)
		}
	})
	return nil
}

// acceptable says why a decision cannot be taken now, if it cannot.
func (f *fileIngest) acceptable(d Decision, action string) error {
	switch {
	case f.parked == nil:
		return fmt.Errorf("the file is not parked: it is at step %s", f.step)
	case f.decision != nil:
		return errors.New("a decision was taken already")
	case d.Actor == "":
		return errors.New("actor: say who decides")
	case d.From != "" && !slices.Contains(f.retrySteps(), d.From):
		return fmt.Errorf("from %q: the file failed at step %s of mode %s: use one of %v", d.From, f.parked.Step, f.mode, f.retrySteps())
	case action == ingest.ActionRenotify && f.parked.Step != ingest.StepNotify:
		return fmt.Errorf("there is nothing to announce yet: the file failed at step %s", f.parked.Step)
	}
	return nil
}

// retrySteps are the steps that an operator may name for a parked file.
func (f *fileIngest) retrySteps() []ingest.Step { return ingest.RetryFrom(f.mode, f.parked.Step) }

// setAside records why the file left its way and returns the status it has now.
func (f *fileIngest) setAside(ctx workflow.Context, cause error) (ingest.Status, error) {
	kind, message := failureOf(cause)
	if temporal.IsCanceledError(cause) {
		kind, message = "cancelled", "the workflow was cancelled; start the file again to go on"
		ctx, _ = workflow.NewDisconnectedContext(ctx)
	}
	why := activities.ParkFileInput{FileUUID: f.in.FileUUID, Step: f.step, Kind: kind, Message: message}
	var outcome activities.Outcome
	var err error
	info, _ := f.step.Info()
	f.slot = 0 // each of these releases it
	switch {
	case kind == ingest.KindNotFound && info.Fetches:
		err = f.close(ctx, why, ingest.StatusVanished, &outcome)
	case kind == ingest.KindChanged && info.Fetches:
		err = f.close(ctx, why, ingest.StatusSuperseded, &outcome)
	default:
		// Whoever reads in the ledger that the file is in error may decide at once.
		f.parked = &ingest.Failure{Step: f.step, Kind: kind, Message: message}
		parking := about(withQuick(ctx), words(message))
		err = workflow.ExecuteActivity(parking, do.ParkFile, why).Get(ctx, &outcome)
	}
	if err == nil && temporal.IsCanceledError(cause) {
		err = cause
	}
	return outcome.Status, err
}

// close ends a version that is gone from the server, and frees its staging.
func (f *fileIngest) close(ctx workflow.Context, why activities.ParkFileInput, status ingest.Status, outcome *activities.Outcome) error {
	err := workflow.ExecuteActivity(about(withQuick(ctx), string(status)+": "+words(why.Message)), do.CloseFile,
		activities.CloseFileInput{ParkFileInput: why, Status: status}).Get(ctx, outcome)
	f.discard(ctx)
	return err
}

// discard frees the staged bytes where they are. A host that does not answer
// within a minute keeps them for the reconciler.
func (f *fileIngest) discard(ctx workflow.Context) {
	if f.host.Queue == "" {
		return
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: ingest.TidyQueue(f.host.Queue), ScheduleToCloseTimeout: time.Minute, RetryPolicy: &brief, Summary: "free the staged bytes",
	})
	err := workflow.ExecuteActivity(ctx, do.DiscardStaged, activities.DiscardStagedInput{FileUUID: f.in.FileUUID}).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("staged bytes stay for the reconciler", "file", f.in.FileUUID, "error", err)
	}
}

// awaitOperator parks the workflow until somebody decides, and carries the
// decision into the ledger.
func (f *fileIngest) awaitOperator(ctx workflow.Context) (ingest.Status, error) {
	f.describe(ctx)
	if err := f.reach(ctx, ingest.StatusError); err != nil {
		return "", err
	}
	d, err := f.awaitDecision(ctx)
	if err != nil {
		return "", err
	}
	if d.From == "" {
		d.From = ingest.StepIn(f.mode, f.parked.Step)
	}
	f.decisions++
	var outcome activities.Outcome
	resuming := about(withQuick(ctx), d.action+" at step "+string(d.From)+", for "+words(d.Actor)+": "+words(d.Reason))
	err = workflow.ExecuteActivity(resuming, do.ResumeFile, activities.ResumeFileInput{
		FileUUID: f.in.FileUUID, Action: d.action, From: d.From, Actor: d.Actor, Reason: d.Reason,
		Key: fmt.Sprintf("%s/%d", workflow.GetInfo(ctx).WorkflowExecution.RunID, f.decisions),
	}).Get(ctx, &outcome)
	if err != nil {
		return "", err
	}
	f.parked, f.decision, f.step = nil, nil, d.From
	f.restages, f.mismatches, f.note = 0, 0, ""
	if outcome.Status == ingest.StatusSkipped {
		f.discard(ctx)
		return outcome.Status, nil
	}
	return outcome.Status, f.reach(ctx, ingest.StatusReady)
}

// awaitDecision waits for an operator or, when the fault was the server's, for
// the server: its repair decides for all files that wait for it.
func (f *fileIngest) awaitDecision(ctx workflow.Context) (decision, error) {
	repaired := false
	if f.parked.Kind.ServerLevel() {
		ctx, cancel := workflow.WithCancel(ctx)
		defer cancel()
		workflow.Go(ctx, func(ctx workflow.Context) {
			repaired = f.awaitServer(ctx) == nil
		})
	}
	if err := workflow.Await(ctx, func() bool { return f.decision != nil || repaired }); err != nil {
		return decision{}, err
	}
	if f.decision == nil {
		f.decision = &decision{action: ingest.ActionRetry, Decision: Decision{Actor: "stevedore", Reason: "its server was mended"}}
	}
	return *f.decision, nil
}

// awaitServer waits until the server is active and not suspended.
func (f *fileIngest) awaitServer(ctx workflow.Context) error {
	in := activities.AwaitServerInput{ServerUUID: f.in.ServerUUID}
	waiting := about(withQuick(ctx), "until server "+f.server+" is mended")
	return workflow.ExecuteActivity(waiting, do.AwaitServer, in).Get(ctx, nil)
}

// reach sets the search attribute for the status, unless it is that already.
func (f *fileIngest) reach(ctx workflow.Context, status ingest.Status) error {
	f.describe(ctx)
	if f.status == status {
		return nil
	}
	f.status = status
	return workflow.UpsertTypedSearchAttributes(ctx, searchStatus.ValueSet(string(status)))
}

// end closes the workflow once every update has its answer.
func (f *fileIngest) end(ctx workflow.Context, status ingest.Status) (ingest.Status, error) {
	f.ended = status
	if err := f.reach(ctx, status); err != nil {
		return status, err
	}
	return status, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}
