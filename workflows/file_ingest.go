package workflows

import (
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// maxRestages is how often a file is fetched again because its staged bytes were
// lost or damaged, or its host was, before an operator is asked.
const maxRestages = 5

// maxMismatches is how often a wrong hash is answered with a fresh download:
// once can be a bad disk or cable, twice is a matter for people.
const maxMismatches = 1

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
}

// FileIngestResult says how the file ended.
type FileIngestResult struct {
	Status ingest.Status `json:"status"`
}

// FileIngest carries one file version from its server into the object store
// and publishes its notification. A permanent failure parks it: the workflow stays
// open until an operator retries or skips the file. A file that cannot be fetched
// for some minutes, or has no slot, is ready again: the workflow ends, and the
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
}

func newFileIngest(ctx workflow.Context, in FileIngestInput) *fileIngest {
	f := &fileIngest{
		in: in, slot: in.Slot, parked: in.Parked, status: ingest.StatusReady,
		server: shownServer(ctx), path: shownPath(ctx),
	}
	if in.Parked != nil {
		f.status = ingest.StatusError
	}
	f.use(in.Mode)
	if in.From != "" {
		f.step = ingest.StepIn(f.mode, in.From)
	}
	return f
}

// use begins with the first step of the mode.
func (f *fileIngest) use(mode ingest.Mode) {
	if !slices.Contains(ingest.Modes, mode) {
		mode = ingest.ModeStaged
	}
	f.mode, f.step = mode, ingest.FirstStep(mode)
}

// run is the story of a file: it is ingested, or waits for an operator and is
// ingested again.
func (f *fileIngest) run(ctx workflow.Context) (ingest.Status, error) {
	if f.in.Renotify != nil {
		return f.renotify(ctx)
	}
	for {
		status, err := f.ingest(ctx)
		if err != nil {
			return "", err
		}
		if status != ingest.StatusError {
			return f.end(ctx, status)
		}
		if status, err = f.awaitOperator(ctx); err != nil {
			return "", err
		}
		if status.Terminal() {
			return f.end(ctx, status)
		}
	}
}

// ingest carries the file as far as it goes and returns its status then. One
// that is parked already goes nowhere.
func (f *fileIngest) ingest(ctx workflow.Context) (ingest.Status, error) {
	if f.parked != nil {
		return ingest.StatusError, nil
	}
	for {
		err := f.takeSteps(ctx)
		if err == nil {
			f.afterIngest(ctx)
			return ingest.StatusCompleted, nil
		}
		if !f.mayWait(err) {
			return f.setAside(ctx, err)
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
func (f *fileIngest) takeSteps(ctx workflow.Context) error {
	for f.step != "" {
		f.describe(ctx)
		err := f.take(ctx)
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

// take does one step.
func (f *fileIngest) take(ctx workflow.Context) error {
	if info, _ := f.step.Info(); info.Fetches && f.slot == 0 {
		return errNoSlot
	}
	switch f.step {
	case ingest.StepVerify:
		return f.verify(ctx)
	case ingest.StepUpload:
		return f.upload(ctx)
	case ingest.StepNotify:
		return f.notify(ctx)
	case ingest.StepTransfer:
		if f.mode == ingest.ModeMemory {
			return f.inMemory(ctx)
		}
		return f.transfer(ctx)
	default:
		return f.download(ctx)
	}
}

// inMemory does all steps of a small file within one workflow task. After
// anything but success the file takes the steps of the staged mode, whose
// attempts and reasons can be seen.
func (f *fileIngest) inMemory(ctx workflow.Context) error {
	in := activities.IngestInMemoryInput{
		FileUUID: f.in.FileUUID, ServerUUID: f.in.ServerUUID, Slot: f.slot, Size: f.in.Size,
	}
	var result activities.IngestInMemoryResult
	err := workflow.ExecuteLocalActivity(withLocal(ctx, "move "+size(f.in.Size)+f.fromServer()), do.IngestInMemory, in).Get(ctx, &result)
	switch {
	case err == nil:
		if f.tidySource = result.SourceAction; result.Notified {
			f.step = ingest.StepNotify // which is done as well
		}
		return nil
	case temporal.IsCanceledError(err), isNoSlot(err), serverLevel(err):
		return err
	}
	_, message := failureOf(err)
	f.note = "Moving it in memory failed (" + words(message) + "); it goes on by staging."
	f.use(ingest.ModeStaged)
	return f.download(ctx)
}

// download brings the bytes into staging, round after round as long as some
// come. A host without room may leave the file to a direct transfer.
func (f *fileIngest) download(ctx workflow.Context) error {
	if err := f.claimHost(ctx); err != nil {
		return err
	}
	if f.host.Direct {
		f.use(ingest.ModeDirect)
		return f.transfer(ctx)
	}
	if err := f.reach(ctx, ingest.StatusDownloading); err != nil {
		return err
	}
	in := activities.DownloadInput{FileUUID: f.in.FileUUID, Slot: f.slot}
	return rounds(func() error {
		return f.onHost(ctx, f.host.Queue, &round, do.Download, "download "+size(f.in.Size)+f.fromServer(), in)
	})
}

// transfer moves the bytes straight into the object store, on any worker.
func (f *fileIngest) transfer(ctx workflow.Context) error {
	if err := f.reach(ctx, ingest.StatusDownloading); err != nil {
		return err
	}
	in := activities.TransferInput{FileUUID: f.in.FileUUID, Slot: f.slot}
	transferring := about(withTransfer(ctx, &round), "transfer "+size(f.in.Size)+f.fromServer())
	return rounds(func() error { return workflow.ExecuteActivity(transferring, do.Transfer, in).Get(ctx, nil) })
}

// rounds repeats rounds of attempts while they bring the file further.
func rounds(attempt func() error) error {
	for {
		if err := attempt(); !advanced(err) && !stopped(err) {
			return err
		}
	}
}

func (f *fileIngest) verify(ctx workflow.Context) error {
	in := activities.VerifyHashInput{FileUUID: f.in.FileUUID, HostQueue: f.host.Queue}
	const purpose = "compare with the partner's checksum"
	return localFirst(ctx, do.VerifyHash, purpose, in, nil, func() error {
		if err := f.reach(ctx, ingest.StatusDownloaded); err != nil {
			return err
		}
		return f.onHost(ctx, ingest.UploadQueue(f.host.Queue), &patient, do.VerifyHash, purpose, in)
	})
}

func (f *fileIngest) upload(ctx workflow.Context) error {
	if err := f.reach(ctx, ingest.StatusUploading); err != nil {
		return err
	}
	return f.onHost(ctx, ingest.UploadQueue(f.host.Queue), &patient, do.Upload, "upload "+size(f.in.Size),
		activities.UploadInput{FileUUID: f.in.FileUUID})
}

// notify publishes the notification. The activity releases the server's slot when
// the broker does not take it at once: publishing does not use the server.
func (f *fileIngest) notify(ctx workflow.Context) error {
	in := activities.NotifyInput{FileUUID: f.in.FileUUID}
	const purpose = "publish the notification"
	var result activities.NotifyResult
	err := localFirst(ctx, do.Notify, purpose, in, &result, func() error {
		f.note = "Stored. Waiting for the broker to accept the notification."
		if err := f.reach(ctx, ingest.StatusUploaded); err != nil {
			return err
		}
		return workflow.ExecuteActivity(about(withQuick(ctx), purpose), do.Notify, in).Get(ctx, &result)
	})
	f.tidySource = result.SourceAction
	return err
}

// renotify publishes the notification of a completed file once more, with the
// same message id.
func (f *fileIngest) renotify(ctx workflow.Context) (ingest.Status, error) {
	f.step = ingest.StepNotify
	f.describe(ctx)
	again := about(withQuick(ctx), "once more, for "+words(f.in.Renotify.Actor)+": "+words(f.in.Renotify.Reason))
	err := workflow.ExecuteActivity(again, do.Renotify, activities.RenotifyInput{
		FileUUID: f.in.FileUUID, Actor: f.in.Renotify.Actor, Reason: f.in.Renotify.Reason,
		Key: workflow.GetInfo(ctx).WorkflowExecution.RunID,
	}).Get(ctx, nil)
	if err != nil {
		return "", err
	}
	return f.end(ctx, ingest.StatusCompleted)
}

// afterIngest deletes or moves the source where its server is set so. The file is
// safe by now: whatever goes wrong here is in the ledger, and never sends
// the file round again.
func (f *fileIngest) afterIngest(ctx workflow.Context) {
	if !f.tidySource {
		return
	}
	f.step, f.note = ingest.StepAfter, ""
	f.describe(ctx)
	in := activities.AfterIngestInput{FileUUID: f.in.FileUUID}
	const purpose = "delete or move the source, as its server is set"
	for {
		err := workflow.ExecuteActivity(about(withTidy(ctx), purpose), do.AfterIngest, in).Get(ctx, nil)
		if serverLevel(err) {
			err = f.awaitServer(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil {
			workflow.GetLogger(ctx).Error("the after-ingest action failed", "file", f.in.FileUUID, "error", err)
		}
		return
	}
}
