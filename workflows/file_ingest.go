package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// FileIngestInput names the file version.
type FileIngestInput struct {
	FileUUID   string `json:"file_uuid"`
	ServerUUID string `json:"server_uuid"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Mode is the transfer mode; empty, for a file whose transfer never started, means
	// staged.
	Mode ingest.Mode `json:"mode,omitempty"`
	// Slot is the reserved slot with which the file may be read from its server; 0
	// means none.
	Slot int64 `json:"slot,omitempty"`
	// From is the first step; empty means the first step of the mode.
	From ingest.Step `json:"from,omitempty"`
	// Failure, when set, is the failure of a file that needs attention and whose
	// earlier workflow is gone.
	Failure *ingest.Failure `json:"failure,omitempty"`
	// Renotify, when set, is an operator action: publish the notification of a
	// completed file again, and do nothing else.
	Renotify *OperatorAction `json:"renotify,omitempty"`
	// Reprocess, when set, is an operator action: make a completed file whose object
	// is lost ready again, and do nothing else.
	Reprocess *OperatorAction `json:"reprocess,omitempty"`
}

// FileIngestResult is the final status of the workflow.
type FileIngestResult struct {
	Status ingest.Status `json:"status"`
}

// FileIngest moves one file version from its server into the object store and
// publishes its notification. After a permanent failure the workflow stays open until
// an operator retries or skips the file. A file that has no slot, or cannot be fetched
// now, becomes ready again: the workflow ends, and the server's dispatcher starts
// another when a slot is free.
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
	step ingest.Step // "" after the last step
	slot int64       // 0: the file may not be read from its server
	// retry is the policy of steps that read from the server.
	retry temporal.RetryPolicy

	server, path string        // for people; empty if the workflow was started manually
	status       ingest.Status // value of the search attribute
	note         string        // additional text of the details
	ended        ingest.Status // empty while it runs

	host         activities.Host // the host of the staged bytes; zero before ClaimHost
	restages     int
	mismatches   int
	sourceAction bool // the server has an after-ingest action

	failure *ingest.Failure
	pending *pendingAction
	actions int

	// reprocessed is set once the file is ready again, refused if it cannot be.
	reprocessed bool
	refused     error
}

func newFileIngest(ctx workflow.Context, in FileIngestInput) *fileIngest {
	f := &fileIngest{
		in: in, slot: in.Slot, retry: roundRetry, failure: in.Failure, status: ingest.StatusReady,
		server: shownServer(ctx), path: shownPath(ctx),
	}
	if in.Failure != nil {
		f.status = ingest.StatusError
	}
	f.setMode(in.Mode)
	if in.From != "" {
		f.step = ingest.StepIn(f.mode, in.From)
	}
	return f
}

// setMode selects the mode and its first step.
func (f *fileIngest) setMode(mode ingest.Mode) {
	if !slices.Contains(ingest.Modes, mode) {
		mode = ingest.ModeStaged
	}
	f.mode, f.step = mode, ingest.FirstStep(mode)
}

// run ingests the file. After each permanent failure it waits for an operator and
// ingests again.
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

// ingest runs the steps and returns the file's resulting status: completed, ready if
// it must wait for a slot or is deferred, or the status of its permanent failure. A
// failed file is not touched.
func (f *fileIngest) ingest(ctx workflow.Context) (ingest.Status, error) {
	if f.failure != nil {
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
		f.step = ingest.StepNotify // its object was stored by another attempt
	}
}

// runSteps runs the steps of the mode from f.step on. It restarts from the first one
// where fetching again can repair the error.
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

// runStep runs one step. Steps that read from the server need a slot.
func (f *fileIngest) runStep(ctx workflow.Context) error {
	if info, _ := f.step.Info(); info.Fetches && f.slot == 0 {
		return errNoSlot
	}
	switch f.step {
	case ingest.StepDownload:
		return f.download(ctx)
	case ingest.StepVerify:
		return f.verify(ctx)
	case ingest.StepUpload:
		return f.upload(ctx)
	case ingest.StepTransfer:
		if f.mode == ingest.ModeMemory {
			return f.inMemory(ctx)
		}
		return f.transfer(ctx)
	case ingest.StepNotify:
		return f.notify(ctx)
	}
	return temporal.NewNonRetryableApplicationError("no activity runs the step "+string(f.step), string(ingest.KindInvalid), nil)
}

// canRequeue reports whether the file can be resumed later: it has no slot, or could
// not be fetched in a round of attempts.
func (f *fileIngest) canRequeue(err error) bool {
	info, _ := f.step.Info()
	return isNoSlot(err) ||
		info.Fetches && f.restages <= maxRestages && !permanent(err) && !temporal.IsCanceledError(err)
}

// requeue makes the file ready again and releases its slot. The checkpoint is kept,
// and the next workflow resumes from it.
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

// recordFailure records a permanent failure or a cancellation and returns the
// resulting status.
func (f *fileIngest) recordFailure(ctx workflow.Context, cause error) (ingest.Status, error) {
	kind, message := failureOf(cause)
	if temporal.IsCanceledError(cause) {
		kind, message = ingest.KindCancelled, "its workflow was cancelled in Temporal: retry or skip the file"
		ctx, _ = workflow.NewDisconnectedContext(ctx)
	}
	why := activities.RecordFailureInput{FileUUID: f.in.FileUUID, Step: f.step, Kind: kind, Message: message}
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
		// Set before the ledger: an operator action may follow its commit immediately.
		f.failure = &ingest.Failure{Step: f.step, Kind: kind, Message: message}
		recording := withSummary(withQuick(ctx), quote(message))
		err = workflow.ExecuteActivity(recording, do.RecordFailure, why).Get(ctx, &outcome)
	}
	if err == nil && temporal.IsCanceledError(cause) {
		err = cause
	}
	return outcome.Status, err
}

// close ends a version that is gone from the server and frees its staged bytes.
func (f *fileIngest) close(ctx workflow.Context, why activities.RecordFailureInput, status ingest.Status, outcome *activities.Outcome) error {
	err := workflow.ExecuteActivity(withSummary(withQuick(ctx), string(status)+": "+quote(why.Message)), do.CloseFile,
		activities.CloseFileInput{RecordFailureInput: why, Status: status}).Get(ctx, outcome)
	f.discard(ctx)
	return err
}

// discard frees the staged bytes on their host. If the host does not respond within a
// minute, reconciliation removes them.
func (f *fileIngest) discard(ctx workflow.Context) {
	if f.host.Queue == "" {
		return
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: temporalnames.CleanupQueue(f.host.Queue), ScheduleToCloseTimeout: time.Minute, RetryPolicy: &limitedRetry, Summary: "free the staged bytes",
	})
	err := workflow.ExecuteActivity(ctx, do.DiscardStaged, activities.DiscardStagedInput{FileUUID: f.in.FileUUID}).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("staged bytes are left to reconciliation", "file", f.in.FileUUID, "error", err)
	}
}

// setStatus updates the search attribute if the status has changed.
func (f *fileIngest) setStatus(ctx workflow.Context, status ingest.Status) error {
	f.describe(ctx)
	if f.status == status {
		return nil
	}
	f.status = status
	return workflow.UpsertTypedSearchAttributes(ctx, searchStatus.ValueSet(string(status)))
}

// end closes the workflow after all update handlers have returned.
func (f *fileIngest) end(ctx workflow.Context, status ingest.Status) (ingest.Status, error) {
	f.ended = status
	if err := f.setStatus(ctx, status); err != nil {
		return status, err
	}
	return status, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}
