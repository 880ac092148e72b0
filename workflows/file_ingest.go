package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// FileIngestInput names the file version.
type FileIngestInput struct {
	FileUUID   string `json:"file_uuid"`
	ServerUUID string `json:"server_uuid"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Mode is the transfer mode; empty means staged.
	Mode ingest.Mode `json:"mode,omitempty"`
	// Slot is the reserved slot with which the file may be read from its server; 0
	// means that it has none.
	Slot int64 `json:"slot,omitempty"`
	// From is the step to begin with; empty means from the start.
	From ingest.Step `json:"from,omitempty"`
	// Parked, when set, is the failure with which the file already waits for an
	// operator: its earlier workflow is gone.
	Parked *ingest.Failure `json:"parked,omitempty"`
	// Renotify, when set, is an operator's wish to publish the notification of a
	// completed file once more, and the only thing that is done.
	Renotify *Decision `json:"renotify,omitempty"`
	// Reprocess, when set, is an operator's wish to ingest a completed file again
	// whose object is lost: it is made ready again, and nothing else is done.
	Reprocess *Decision `json:"reprocess,omitempty"`
}

// FileIngestResult says how the file ended.
type FileIngestResult struct {
	Status ingest.Status `json:"status"`
}

// FileIngest carries one file version from its server into the object store
// and publishes its notification. A permanent failure parks it: the workflow stays
// open until an operator retries or skips the file. A file that cannot be fetched
// now, or has no slot, is ready again: the workflow ends, and the
// server's dispatcher starts another when a slot is free.
func FileIngest(ctx workflow.Context, in FileIngestInput) (FileIngestResult, error) {
	f := newFileIngest(ctx, in)
	if err := f.listenToOperators(ctx); err != nil {
		return FileIngestResult{}, err
	}
	status, err := f.run(ctx)
	return FileIngestResult{Status: status}, err
}

// fileIngest is the state of one workflow.
type fileIngest struct {
	in   FileIngestInput
	mode ingest.Mode
	step ingest.Step // "" once all are done
	slot int64       // 0: the file may not be read from its server
	// tries is how often its bytes are asked for with the slot.
	tries temporal.RetryPolicy

	server, path string        // for people; empty when the workflow was started by hand
	status       ingest.Status // as the search attribute has it
	note         string        // what else the details say
	ended        ingest.Status // empty while it runs

	host       activities.Host // where the staged bytes are; zero: nowhere yet
	restages   int
	mismatches int
	tidySource bool // an after-ingest action follows

	parked    *ingest.Failure
	decision  *decision
	decisions int

	// reprocessed is set once the file is ready again; refused is why it is not.
	reprocessed bool
	refused     error
}

func newFileIngest(ctx workflow.Context, in FileIngestInput) *fileIngest {
	f := &fileIngest{
		in: in, slot: in.Slot, tries: roundRetry, parked: in.Parked, status: ingest.StatusReady,
		server: shownServer(ctx), path: shownPath(ctx),
	}
	if in.Parked != nil {
		f.status = ingest.StatusError
	}
	f.setMode(in.Mode)
	if in.From != "" {
		f.step = ingest.StepIn(f.mode, in.From)
	}
	return f
}

// use begins with the first step of the mode.
func (f *fileIngest) setMode(mode ingest.Mode) {
	if !slices.Contains(ingest.Modes, mode) {
		mode = ingest.ModeStaged
	}
	f.mode, f.step = mode, ingest.FirstStep(mode)
}

// run is the story of a file: it is ingested, and whenever it has failed it waits
// for an operator and is ingested again.
func (f *fileIngest) run(ctx workflow.Context) (ingest.Status, error) {
	if f.in.Renotify != nil {
		return f.renotify(ctx)
	}
	if f.in.Reprocess != nil {
		return f.reprocess(ctx)
	}
	status, err := f.ingest(ctx)
	for err == nil && status == ingest.StatusError {
		status, err = f.awaitOperator(ctx)
		if err == nil && !status.Terminal() {
			status, err = f.ingest(ctx)
		}
	}
	if err != nil {
		return "", err
	}
	return f.end(ctx, status)
}

// ingest takes the file as far as it goes and returns the status that it then has:
// completed, or ready where it must wait for a slot or a better moment, or what a
// permanent failure makes of it. A failed file stays as it is.
func (f *fileIngest) ingest(ctx workflow.Context) (ingest.Status, error) {
	if f.parked != nil {
		return ingest.StatusError, nil
	}
	for {
		err := f.runSteps(ctx)
		if err == nil {
			f.afterIngest(ctx)
			return ingest.StatusCompleted, nil
		}
		if !f.canRequeue(err) {
			return f.recordFailure(ctx, err)
		}
		status, err := f.requeue(ctx, err)
		if err != nil || status != ingest.StatusUploaded {
			return status, err
		}
		f.step = ingest.StepNotify // its object is there after all
	}
}

// takeSteps does the steps of the mode from f.step on. It goes back to the first
// one where that can repair what went wrong.
func (f *fileIngest) runSteps(ctx workflow.Context) error {
	for f.step != "" {
		f.describe(ctx)
		err := f.runStep(ctx)
		switch {
		case err == nil:
			f.step = ingest.StepAfterIn(f.mode, f.step)
		case f.restage(err):
			f.step = ingest.FirstStep(f.mode)
		default:
			return err
		}
	}
	return nil
}

// take does one step. Those that read from the server need a slot.
func (f *fileIngest) runStep(ctx workflow.Context) error {
	if info, _ := f.step.Info(); info.Fetches && f.slot == 0 {
		return errNoSlot
	}
	switch {
	case f.step == ingest.StepVerify:
		return f.verify(ctx)
	case f.step == ingest.StepUpload:
		return f.upload(ctx)
	case f.step == ingest.StepNotify:
		return f.notify(ctx)
	case f.step == ingest.StepTransfer && f.mode == ingest.ModeMemory:
		return f.inMemory(ctx)
	case f.step == ingest.StepTransfer:
		return f.transfer(ctx)
	default:
		return f.download(ctx)
	}
}

// mayWait reports that the file can be resumed later: it has no slot, or could
// not be fetched for a round of attempts.
func (f *fileIngest) canRequeue(err error) bool {
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
		in.Deferred, in.Attempts = &ingest.Failure{Step: f.step, Kind: kind, Message: message}, ingest.RoundAttempts
		purpose = "release the slot and try again later: " + quote(message)
	}
	f.slot = 0
	var outcome activities.Outcome
	err := workflow.ExecuteActivity(withSummary(withQuick(ctx), purpose), do.RequeueFile, in).Get(ctx, &outcome)
	return outcome.Status, err
}

// setAside records why the file left its way and returns the status it has now.
func (f *fileIngest) recordFailure(ctx workflow.Context, cause error) (ingest.Status, error) {
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
		parking := withSummary(withQuick(ctx), quote(message))
		err = workflow.ExecuteActivity(parking, do.ParkFile, why).Get(ctx, &outcome)
	}
	if err == nil && temporal.IsCanceledError(cause) {
		err = cause
	}
	return outcome.Status, err
}

// close ends a version that is gone from the server, and frees its staging.
func (f *fileIngest) close(ctx workflow.Context, why activities.ParkFileInput, status ingest.Status, outcome *activities.Outcome) error {
	err := workflow.ExecuteActivity(withSummary(withQuick(ctx), string(status)+": "+quote(why.Message)), do.CloseFile,
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
		TaskQueue: ingest.TidyQueue(f.host.Queue), ScheduleToCloseTimeout: time.Minute, RetryPolicy: &limitedRetry, Summary: "free the staged bytes",
	})
	err := workflow.ExecuteActivity(ctx, do.DiscardStaged, activities.DiscardStagedInput{FileUUID: f.in.FileUUID}).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("staged bytes stay for the reconciler", "file", f.in.FileUUID, "error", err)
	}
}

// reach sets the search attribute for the status, unless it is that already.
func (f *fileIngest) setStatus(ctx workflow.Context, status ingest.Status) error {
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
	if err := f.setStatus(ctx, status); err != nil {
		return status, err
	}
	return status, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}
