package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// maxRestages bounds how often a file is fetched again because its staged bytes were
// lost or damaged, or its host is gone. Then it needs attention.
const maxRestages = 5

// maxMismatches bounds how often a wrong hash leads to a fresh download: one may be a
// bad disk or cable, a second needs attention.
const maxMismatches = 1

// inMemory runs all steps of a small file within one workflow task. If that fails the
// file continues in the staged mode, whose attempts and errors are visible.
func (f *fileIngest) inMemory(ctx workflow.Context) error {
	in := activities.IngestInMemoryInput{
		FileUUID: f.in.FileUUID, ServerUUID: f.in.ServerUUID, Slot: f.slot, Size: f.in.Size,
	}
	var result activities.IngestInMemoryResult
	err := workflow.ExecuteLocalActivity(withLocal(ctx, "move "+size(f.in.Size)+f.fromServer()), do.IngestInMemory, in).Get(ctx, &result)
	switch {
	case err == nil:
		if f.sourceAction = result.SourceAction; result.Notified {
			f.step = ingest.StepNotify // the notification is published, too
		}
		return nil
	case temporal.IsCanceledError(err), isNoSlot(err), serverLevel(err):
		return err
	}
	_, message := failureOf(err)
	f.note = "Transfer in memory failed (" + quote(message) + "); continues in staged mode."
	f.setMode(ingest.ModeStaged)
	f.retry = lastRoundRetry
	return f.download(ctx)
}

// download copies the file into staging, in rounds as long as they make progress. If
// the host has no room, the file may be transferred directly.
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
		return f.onHost(ctx, f.host.Queue, &f.retry, do.Download, "download "+size(f.in.Size)+f.fromServer(), in)
	})
}

// transfer copies the file directly into the object store, on any worker.
func (f *fileIngest) transfer(ctx workflow.Context) error {
	if err := f.setStatus(ctx, ingest.StatusDownloading); err != nil {
		return err
	}
	in := activities.TransferInput{FileUUID: f.in.FileUUID, Slot: f.slot}
	transferring := withSummary(withTransfer(ctx, &f.retry), "transfer "+size(f.in.Size)+f.fromServer())
	return rounds(func() error { return workflow.ExecuteActivity(transferring, do.Transfer, in).Get(ctx, nil) })
}

// rounds repeats rounds of attempts while they make progress.
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
		return f.onHost(ctx, temporalnames.UploadQueue(f.host.Queue), &unlimitedRetry, do.VerifyHash, purpose, in)
	})
}

func (f *fileIngest) upload(ctx workflow.Context) error {
	if err := f.setStatus(ctx, ingest.StatusUploading); err != nil {
		return err
	}
	return f.onHost(ctx, temporalnames.UploadQueue(f.host.Queue), &unlimitedRetry, do.Upload, "upload "+size(f.in.Size),
		activities.UploadInput{FileUUID: f.in.FileUUID})
}

// notify publishes the notification. The activity releases the server's slot if the
// broker does not accept it immediately: publishing does not use the server.
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
	f.sourceAction = result.SourceAction
	return err
}

// renotify publishes the notification of a completed file again, with the same
// message id.
func (f *fileIngest) renotify(ctx workflow.Context) (ingest.Status, error) {
	f.step = ingest.StepNotify
	f.describe(ctx)
	again := withSummary(withQuick(ctx), "publish again, by "+quote(f.in.Renotify.Actor)+": "+quote(f.in.Renotify.Reason))
	err := workflow.ExecuteActivity(again, do.Renotify, activities.RenotifyInput{
		FileUUID: f.in.FileUUID, Actor: f.in.Renotify.Actor, Reason: f.in.Renotify.Reason, Entry: f.in.Renotify.Entry,
		Key: workflow.GetInfo(ctx).WorkflowExecution.RunID,
	}).Get(ctx, nil)
	if err != nil {
		return "", err
	}
	return f.end(ctx, ingest.StatusCompleted)
}

// afterIngest deletes or moves the source if the server's settings require it. The
// file is stored and notified, so a failure is recorded and logged, and never fails
// the file.
func (f *fileIngest) afterIngest(ctx workflow.Context) {
	if !f.sourceAction {
		return
	}
	f.step, f.note = ingest.StepAfter, ""
	f.describe(ctx)
	in := activities.AfterIngestInput{FileUUID: f.in.FileUUID}
	const purpose = "delete or move the source"
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

// restage reports whether err is repaired by fetching the file again, and counts it.
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

// claimHost finds a worker with room for the file, first the one that runs this
// workflow task.
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

// onHost runs a step on the host of the staged bytes. When the task waits too long in
// the host's queue, onHost checks whether the host is alive: a saturated host is, and
// the wait continues.
func (f *fileIngest) onHost(ctx workflow.Context, queue string, policy *temporal.RetryPolicy, step any, purpose string, in any) error {
	if f.host.Queue == "" { // a retry from a later step has no host: fetch the file again
		return temporal.NewApplicationError("no host has staged the file", string(ingest.KindStagingLost))
	}
	for {
		err := workflow.ExecuteActivity(withSummary(withHost(ctx, queue, f.host.Timeout, policy), purpose), step, in).Get(ctx, nil)
		if !hostTimedOut(err) {
			return err
		}
		var check activities.CheckHostResult
		in := activities.CheckHostInput{Queue: f.host.Queue}
		asking := withSummary(withQuick(ctx), "check whether "+f.host.Queue+" is alive")
		if err := workflow.ExecuteActivity(asking, do.CheckHost, in).Get(ctx, &check); err != nil {
			return err
		}
		if !check.Alive {
			return err
		}
	}
}
