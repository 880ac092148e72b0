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

// setup makes the workflow answer questions and take decisions.
func (f *fileIngest) setup(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (IngestStatus, error) {
		return IngestStatus{Step: f.step, Host: f.host.Queue, Parked: f.parked, Restages: f.restages}, nil
	})
	if err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateRetry, activities.ActionRetry); err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateSkip, activities.ActionSkip); err != nil {
		return err
	}
	return f.listen(ctx, UpdateRenotify, activities.ActionRenotify)
}

// listen takes decisions as updates, which answer, and as signals, which do not.
func (f *fileIngest) listen(ctx workflow.Context, name, action string) error {
	take := func(ctx workflow.Context, d Decision) error {
		if action == activities.ActionRenotify {
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
	steps := []ingest.Step{"", ingest.StepDownload, ingest.StepVerify, ingest.StepUpload, ingest.StepNotify}
	switch {
	case f.parked == nil:
		return fmt.Errorf("the file is not parked: it is at step %s", f.step)
	case f.decision != nil:
		return errors.New("a decision was taken already")
	case d.Actor == "":
		return errors.New("actor: say who decides")
	case !slices.Contains(steps, d.From):
		return fmt.Errorf("from %q: use download, verify, upload or notify", d.From)
	case slices.Index(steps, d.From) > slices.Index(steps, f.parked.Step):
		return fmt.Errorf("from %s: the file failed at step %s, what comes after it has nothing to begin with", d.From, f.parked.Step)
	case action == activities.ActionRenotify && f.parked.Step != ingest.StepNotify:
		return fmt.Errorf("there is nothing to announce yet: the file failed at step %s", f.parked.Step)
	}
	return nil
}

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
	switch {
	case kind == ingest.KindNotFound && f.step == ingest.StepDownload:
		err = f.close(ctx, why, ingest.StatusVanished, &outcome)
	case kind == ingest.KindChanged && f.step == ingest.StepDownload:
		err = f.close(ctx, why, ingest.StatusSuperseded, &outcome)
	default:
		// Whoever reads in the ledger that the file is in error may decide at once.
		f.parked = &ingest.Failure{Step: f.step, Kind: kind, Message: message}
		parking := about(withQuick(ctx), words(message))
		err = workflow.ExecuteActivity(parking, activities.NameParkFile, why).Get(ctx, &outcome)
	}
	if err == nil && temporal.IsCanceledError(cause) {
		err = cause
	}
	return outcome.Status, err
}

// close ends a version that is gone from the server, and frees its staging.
func (f *fileIngest) close(ctx workflow.Context, why activities.ParkFileInput, status ingest.Status, outcome *activities.Outcome) error {
	err := workflow.ExecuteActivity(about(withQuick(ctx), string(status)+": "+words(why.Message)), activities.NameCloseFile,
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
	err := workflow.ExecuteActivity(ctx, activities.NameDiscardStaged, activities.DiscardStagedInput{FileUUID: f.in.FileUUID}).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("staged bytes stay for the reconciler", "file", f.in.FileUUID, "error", err)
	}
}

// awaitOperator parks the workflow until somebody decides, and carries the
// decision into the ledger.
func (f *fileIngest) awaitOperator(ctx workflow.Context) (ingest.Status, error) {
	if err := f.announceParked(ctx); err != nil {
		return "", err
	}
	d, err := f.awaitDecision(ctx)
	if err != nil {
		return "", err
	}
	if d.From == "" {
		d.From = f.parked.Step
	}
	f.decisions++
	var outcome activities.Outcome
	resuming := about(withQuick(ctx), d.action+" at step "+string(d.From)+", for "+words(d.Actor)+": "+words(d.Reason))
	err = workflow.ExecuteActivity(resuming, activities.NameResumeFile, activities.ResumeFileInput{
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
	return outcome.Status, f.setStatus(ctx, ingest.StatusReady)
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
		f.decision = &decision{action: activities.ActionRetry, Decision: Decision{Actor: "stevedore", Reason: "its server was mended"}}
	}
	return *f.decision, nil
}

// awaitServer waits until the server is active and not suspended.
func (f *fileIngest) awaitServer(ctx workflow.Context) error {
	in := activities.AwaitServerInput{ServerUUID: f.in.ServerUUID}
	waiting := about(withQuick(ctx), "until server "+f.server+" is mended")
	return workflow.ExecuteActivity(waiting, activities.NameAwaitServer, in).Get(ctx, nil)
}

// announceParked makes the parked file findable by query and gives its place
// in the server's window to another file.
func (f *fileIngest) announceParked(ctx workflow.Context) error {
	f.describe(ctx)
	if err := f.setStatus(ctx, ingest.StatusError); err != nil {
		return err
	}
	f.freeSlot(ctx)
	return nil
}

// freeSlot gives the file's place in the server's window to another one.
func (f *fileIngest) freeSlot(ctx workflow.Context) {
	f.giveBack(ctx, SlotFreed{FileUUID: f.in.FileUUID, Suspended: f.parked != nil && f.parked.Kind.ServerLevel()})
}

func (f *fileIngest) giveBack(ctx workflow.Context, freed SlotFreed) {
	f.placed = false
	// Nobody may be listening: then there is no window to free.
	_ = workflow.SignalExternalWorkflow(ctx, ingest.DiscoverWorkflowID(f.in.ServerUUID), "", SignalSlotFreed, freed).Get(ctx, nil)
}

func (f *fileIngest) setStatus(ctx workflow.Context, status ingest.Status) error {
	f.status = status
	return workflow.UpsertTypedSearchAttributes(ctx, searchStatus.ValueSet(string(status)))
}

// end closes the workflow once every update has its answer.
func (f *fileIngest) end(ctx workflow.Context, status ingest.Status) (ingest.Status, error) {
	f.ended = status
	f.describe(ctx)
	if err := f.setStatus(ctx, status); err != nil {
		return status, err
	}
	return status, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}
