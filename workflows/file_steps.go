package workflows

import (
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
	f.note = "Moving it in memory failed (" + quote(message) + "); it goes on by staging."
	f.setMode(ingest.ModeStaged)
	f.tries = lastRoundRetry
	return f.download(ctx)
}

// download brings the bytes into staging, round after round as long as some
// come. A host without room may leave the file to a direct transfer.
func (f *fileIngest) download(ctx workflow.Context) error {
	if err := f.claimHost(ctx); err != nil {
		return err
	}
	if f.host.Direct {
		f.setMode(ingest.ModeDirect)
		return f.transfer(ctx)
	}
	if err := f.setStatus(ctx, ingest.StatusDownloading); err != nil {
		return err
	}
	in := activities.DownloadInput{FileUUID: f.in.FileUUID, Slot: f.slot}
	return rounds(func() error {
		return f.onHost(ctx, f.host.Queue, &f.tries, do.Download, "download "+size(f.in.Size)+f.fromServer(), in)
	})
}

// transfer moves the bytes straight into the object store, on any worker.
func (f *fileIngest) transfer(ctx workflow.Context) error {
	if err := f.setStatus(ctx, ingest.StatusDownloading); err != nil {
		return err
	}
	in := activities.TransferInput{FileUUID: f.in.FileUUID, Slot: f.slot}
	transferring := withSummary(withTransfer(ctx, &f.tries), "transfer "+size(f.in.Size)+f.fromServer())
	return rounds(func() error { return workflow.ExecuteActivity(transferring, do.Transfer, in).Get(ctx, nil) })
}

// rounds repeats rounds of attempts while they bring the file further.
func rounds(attempt func() error) error {
	for {
		if err := attempt(); !advanced(err) && !drained(err) {
			return err
		}
	}
}

func (f *fileIngest) verify(ctx workflow.Context) error {
	in := activities.VerifyHashInput{FileUUID: f.in.FileUUID, HostQueue: f.host.Queue}
	const purpose = "compare with the partner's checksum"
	return localFirst(ctx, do.VerifyHash, purpose, in, nil, func() error {
		if err := f.setStatus(ctx, ingest.StatusDownloaded); err != nil {
			return err
		}
		return f.onHost(ctx, ingest.UploadQueue(f.host.Queue), &unlimitedRetry, do.VerifyHash, purpose, in)
	})
}

func (f *fileIngest) upload(ctx workflow.Context) error {
	if err := f.setStatus(ctx, ingest.StatusUploading); err != nil {
		return err
	}
	return f.onHost(ctx, ingest.UploadQueue(f.host.Queue), &unlimitedRetry, do.Upload, "upload "+size(f.in.Size),
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
		if err := f.setStatus(ctx, ingest.StatusUploaded); err != nil {
			return err
		}
		return workflow.ExecuteActivity(withSummary(withQuick(ctx), purpose), do.Notify, in).Get(ctx, &result)
	})
	f.tidySource = result.SourceAction
	return err
}

// renotify publishes the notification of a completed file once more, with the
// same message id.
func (f *fileIngest) renotify(ctx workflow.Context) (ingest.Status, error) {
	f.step = ingest.StepNotify
	f.describe(ctx)
	again := withSummary(withQuick(ctx), "once more, for "+quote(f.in.Renotify.Actor)+": "+quote(f.in.Renotify.Reason))
	err := workflow.ExecuteActivity(again, do.Renotify, activities.RenotifyInput{
		FileUUID: f.in.FileUUID, Actor: f.in.Renotify.Actor, Reason: f.in.Renotify.Reason, Entry: f.in.Renotify.Entry,
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
		err := workflow.ExecuteActivity(withSummary(withAfterIngest(ctx), purpose), do.AfterIngest, in).Get(ctx, nil)
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

// claimHost finds a worker with room for the file, beginning with the one that
// runs this workflow task.
func (f *fileIngest) claimHost(ctx workflow.Context) error {
	if f.host.Queue != "" || f.host.Direct {
		return nil
	}
	in := activities.ClaimHostInput{FileUUID: f.in.FileUUID, Size: f.in.Size}
	purpose := "find a worker with room for " + size(f.in.Size)
	return localFirst(ctx, do.ClaimHost, purpose, in, &f.host, func() error {
		return workflow.ExecuteActivity(withSummary(withClaim(ctx), purpose), do.ClaimHost, in).Get(ctx, &f.host)
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
		err := workflow.ExecuteActivity(withSummary(withHost(ctx, queue, f.host.Timeout, policy), purpose), step, in).Get(ctx, nil)
		if !hostTimedOut(err) {
			return err
		}
		var check activities.CheckHostResult
		in := activities.CheckHostInput{Queue: f.host.Queue}
		asking := withSummary(withQuick(ctx), "does "+f.host.Queue+" live?")
		if err := workflow.ExecuteActivity(asking, do.CheckHost, in).Get(ctx, &check); err != nil {
			return err
		}
		if !check.Alive {
			return err
		}
	}
}
