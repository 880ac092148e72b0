package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// maxRestages is how often a file is fetched anew because its staged bytes
// were lost or damaged, or its host was, before an operator is asked.
const maxRestages = 5

// maxMismatches is how often a wrong hash is answered with a fresh download:
// once can be a bad disk or cable, twice is a matter for people.
const maxMismatches = 1

// localVerifyBytes is up to which size the staged bytes are re-read within the
// workflow task; even a slow disk does it in a second.
const localVerifyBytes = 16 << 20

// FileIngestInput names the file version.
type FileIngestInput struct {
	FileUUID   string `json:"file_uuid"`
	ServerUUID string `json:"server_uuid"`
	// Size in bytes.
	Size int64 `json:"size"`
	// From is the step to begin with; empty means from the start.
	From ingest.Step `json:"from,omitempty"`
	// Parked, when set, is the failure with which the file already waits for an
	// operator: its earlier workflow is gone.
	Parked *ingest.Failure `json:"parked,omitempty"`
	// Renotify, when set, is an operator's wish to announce a completed file
	// once more, and the only thing that is done.
	Renotify *Decision `json:"renotify,omitempty"`
	// StatusBySteps makes the search attribute for the status follow the steps.
	// Whoever starts the workflow sets it; the histories of those that were
	// started before it came have no events for that.
	StatusBySteps bool `json:"status_by_steps,omitempty"`
}

// FileIngestResult says how the file ended.
type FileIngestResult struct {
	Status ingest.Status `json:"status"`
}

// FileIngest carries one file version from its server into the object store
// and announces it. What fails for good is parked: the workflow stays open
// until an operator says retry or skip. A file that cannot be fetched for some
// minutes, or whose place went to another meanwhile, is ready again: the
// workflow ends, and the server's scan starts another when its turn comes.
func FileIngest(ctx workflow.Context, in FileIngestInput) (FileIngestResult, error) {
	f := &fileIngest{
		in: in, step: ingest.StepDownload, parked: in.Parked, placed: in.Parked == nil && in.Renotify == nil,
		server: shownServer(ctx), path: shownPath(ctx),
	}
	if in.From != "" {
		f.step = in.From
	}
	if err := f.setup(ctx); err != nil {
		return FileIngestResult{}, err
	}
	if in.Renotify != nil {
		return f.renotify(ctx)
	}
	status, err := f.run(ctx)
	return FileIngestResult{Status: status}, err
}

// renotify announces a completed file once more, with the same message id.
func (f *fileIngest) renotify(ctx workflow.Context) (FileIngestResult, error) {
	f.step = ingest.StepNotify
	f.describe(ctx)
	again := about(withQuick(ctx), "once more, for "+words(f.in.Renotify.Actor)+": "+words(f.in.Renotify.Reason))
	err := workflow.ExecuteActivity(again, activities.NameRenotify, activities.RenotifyInput{
		FileUUID: f.in.FileUUID, Actor: f.in.Renotify.Actor, Reason: f.in.Renotify.Reason,
		Key: workflow.GetInfo(ctx).WorkflowExecution.RunID,
	}).Get(ctx, nil)
	if err != nil {
		return FileIngestResult{}, err
	}
	status, err := f.end(ctx, ingest.StatusCompleted)
	return FileIngestResult{Status: status}, err
}

// fileIngest is the state of one workflow.
type fileIngest struct {
	in   FileIngestInput
	step ingest.Step

	server, path string        // for people; empty when the workflow was started by hand
	status       ingest.Status // as the search attribute has it; empty: not set by this run
	note         string        // what else the details say
	ended        ingest.Status // empty while it runs

	host       activities.Host // where the staged bytes are; zero: nowhere yet
	placed     bool            // it has a place in its server's window
	restages   int
	mismatches int
	tidySource bool

	parked    *ingest.Failure
	decision  *decision
	decisions int
}

func (f *fileIngest) run(ctx workflow.Context) (ingest.Status, error) {
	for {
		status, err := f.attempt(ctx)
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

// attempt carries the file as far as it goes and returns its status then. One
// that is parked already goes nowhere.
func (f *fileIngest) attempt(ctx workflow.Context) (ingest.Status, error) {
	if f.parked != nil {
		return ingest.StatusError, nil
	}
	for {
		err := f.carry(ctx)
		if err == nil {
			break
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
	f.tidy(ctx)
	return ingest.StatusCompleted, nil
}

// carry does the steps from f.step on, and goes back to the download where
// that can mend what went wrong.
func (f *fileIngest) carry(ctx workflow.Context) error {
	for f.step != "" {
		f.describe(ctx)
		err := f.do(ctx)
		switch {
		case err == nil:
			f.step = stepAfter(f.step)
		case f.restage(err):
			f.step = ingest.StepDownload
		default:
			return err
		}
	}
	return nil
}

func (f *fileIngest) do(ctx workflow.Context) error {
	switch f.step {
	case ingest.StepVerify:
		return f.verify(ctx)
	case ingest.StepUpload:
		return f.upload(ctx)
	case ingest.StepNotify:
		return f.notify(ctx)
	default:
		return f.download(ctx)
	}
}

func stepAfter(step ingest.Step) ingest.Step {
	switch step {
	case ingest.StepDownload:
		return ingest.StepVerify
	case ingest.StepVerify:
		return ingest.StepUpload
	case ingest.StepUpload:
		return ingest.StepNotify
	default:
		return ""
	}
}

// restage decides whether fetching the file anew is the answer to err.
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

// errNoPlace is why a file without a place in its server's window is not fetched.
var errNoPlace = errors.New("its place in the server's window went to another file")

// download brings the bytes in, round after round as long as some come.
func (f *fileIngest) download(ctx workflow.Context) error {
	if !f.placed && workflow.GetVersion(ctx, changeThroughWindow, workflow.DefaultVersion, 1) >= 1 {
		return errNoPlace
	}
	if err := f.claimHost(ctx); err != nil {
		return err
	}
	if err := f.reach(ctx, ingest.StatusDownloading); err != nil {
		return err
	}
	for {
		err := f.onHost(ctx, f.host.Queue, &round, activities.NameDownload, "fetch "+size(f.in.Size)+f.fromServer(),
			activities.DownloadInput{FileUUID: f.in.FileUUID})
		if !advanced(err) && !stopped(err) {
			return err
		}
	}
}

func (f *fileIngest) verify(ctx workflow.Context) error {
	in := activities.VerifyHashInput{FileUUID: f.in.FileUUID, HostQueue: f.host.Queue}
	purpose := "read " + size(f.in.Size) + " again and compare"
	onHost := func() error {
		if err := f.reach(ctx, ingest.StatusDownloaded); err != nil {
			return err
		}
		return f.onHost(ctx, ingest.UploadQueue(f.host.Queue), &patient, activities.NameVerifyHash, purpose, in)
	}
	if f.in.Size > localVerifyBytes {
		return onHost()
	}
	return localFirst(ctx, activities.NameVerifyHash, purpose, in, nil, onHost)
}

func (f *fileIngest) upload(ctx workflow.Context) error {
	if err := f.reach(ctx, ingest.StatusUploading); err != nil {
		return err
	}
	return f.onHost(ctx, ingest.UploadQueue(f.host.Queue), &patient, activities.NameUpload, "store "+size(f.in.Size),
		activities.UploadInput{FileUUID: f.in.FileUUID})
}

// notify announces the file. Nothing of its server is needed for that, so
// while the broker is away other files get its place in the server's window.
func (f *fileIngest) notify(ctx workflow.Context) error {
	in := activities.NotifyInput{FileUUID: f.in.FileUUID}
	const purpose = "announce the object"
	var result activities.NotifyResult
	try := func(policy temporal.RetryPolicy) error {
		if err := f.reach(ctx, ingest.StatusUploaded); err != nil {
			return err
		}
		ctx := workflow.WithRetryPolicy(about(withQuick(ctx), purpose), policy)
		return workflow.ExecuteActivity(ctx, activities.NameNotify, in).Get(ctx, &result)
	}
	err := localFirst(ctx, activities.NameNotify, purpose, in, &result, func() error { return try(brief) })
	if err != nil && !permanent(err) && !temporal.IsCanceledError(err) {
		f.note = "The object is safe; the broker has not taken the announcement yet. Other files use its place in the server's window."
		f.freeSlot(ctx)
		err = try(patient)
	}
	f.tidySource = result.SourceAction
	return err
}
