package workflows

import (
	"cmp"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// ReconcileInput sets the minimum age of the items that reconciliation checks. Zero
// values select the defaults.
type ReconcileInput struct {
	// Unchanged is the minimum age of a row's last change; default 10 minutes.
	Unchanged time.Duration `json:"unchanged,omitempty"`
	// StagingAge and UploadAge are the minimum ages of staged bytes and unfinished
	// uploads; defaults 1 hour and 1 day.
	StagingAge time.Duration `json:"staging_age,omitempty"`
	UploadAge  time.Duration `json:"upload_age,omitempty"`
	// ObjectsWithin limits the object check to files completed this recently; default 1 day.
	ObjectsWithin time.Duration `json:"objects_within,omitempty"`

	// Carried is the state carried over by continue-as-new; callers leave it nil.
	Carried *ReconcileState `json:"carried,omitempty"`
}

// ReconcileState is the state that continue-as-new carries from one run of Reconcile to
// the next.
type ReconcileState struct {
	// AfterID is the cursor: the id of the last checked row.
	AfterID int64                 `json:"after_id"`
	Found   ingest.Reconciliation `json:"found"`
}

const (
	// hostMaxAge excludes workers that were not seen for this long from the sweep.
	hostMaxAge = 7 * 24 * time.Hour
	// recoveryPage is the page size of the search for files without a workflow,
	// recoveryPages the number of pages before the run continues as new.
	recoveryPage  = 100
	recoveryPages = 50
	// hostStartTimeout bounds the time until a worker starts its sweep.
	hostStartTimeout = time.Minute
)

func (in ReconcileInput) withDefaults() ReconcileInput {
	set := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
	}
	set(&in.Unchanged, 10*time.Minute)
	set(&in.StagingAge, time.Hour)
	set(&in.UploadAge, 24*time.Hour)
	set(&in.ObjectsWithin, 24*time.Hour)
	return in
}

// Reconcile finds files whose workflow is gone, and orphans: staged bytes and unfinished
// uploads of finished files, completed files without an object. It repairs what is
// safe and reports the rest. A part that fails does not stop the others.
func Reconcile(ctx workflow.Context, in ReconcileInput) (ingest.Reconciliation, error) {
	r := &reconciliation{in: in.withDefaults(), found: ingest.Reconciliation{
		Key: workflow.GetInfo(ctx).WorkflowExecution.RunID, StartedAt: workflow.Now(ctx),
	}}
	if in.Carried != nil {
		r.found, r.after = in.Carried.Found, in.Carried.AfterID
	}
	r.runPart(ctx, "files without a workflow", r.recoverFiles)
	if r.more {
		in.Carried = &ReconcileState{AfterID: r.after, Found: r.found}
		return r.found, workflow.NewContinueAsNewError(ctx, NameReconcile, in)
	}
	r.runPart(ctx, "staging folders", r.sweepStaging)
	r.runPart(ctx, "unfinished uploads", r.sweepUploads)
	r.runPart(ctx, "objects", r.checkObjects)
	r.describe(ctx, "has ended")
	recording := withSummary(withQuick(ctx), "record the findings")
	err := workflow.ExecuteActivity(recording, do.RecordReconciliation, r.found).Get(ctx, nil)
	return r.found, err
}

// reconciliation is the state of one run.
type reconciliation struct {
	in    ReconcileInput
	found ingest.Reconciliation
	after int64 // cursor: id of the last checked row
	more  bool  // there may be rows after it
}

// runPart runs one part and records its failure.
func (r *reconciliation) runPart(ctx workflow.Context, name string, check func(workflow.Context) error) {
	r.describe(ctx, "is checking "+name)
	r.noteFailure(name, check(ctx))
}

// noteFailure records that a part could not be checked.
func (r *reconciliation) noteFailure(name string, err error) {
	if err != nil {
		_, message := failureOf(err)
		r.found.Note(name + " could not be reconciled: " + message)
	}
}

func (r *reconciliation) recoverFiles(ctx workflow.Context) error {
	for range recoveryPages {
		r.more = false
		in := activities.RecoverFilesInput{Unchanged: r.in.Unchanged, Limit: recoveryPage, AfterID: r.after}
		var page activities.RecoverFilesResult
		finding := withSummary(withSweep(ctx), "find files in flight without a workflow")
		if err := workflow.ExecuteActivity(finding, do.RecoverFiles, in).Get(ctx, &page); err != nil {
			return err
		}
		r.found.Requeued += page.Requeued
		r.found.Note(page.Findings...)
		r.restart(ctx, page.Restart)
		if r.more = page.More; !r.more {
			return nil
		}
		r.after = page.AfterID
	}
	return nil
}

// restart starts workflows and waits until each has started: an abandoned child that
// has not started is lost when this run ends.
func (r *reconciliation) restart(ctx workflow.Context, files []activities.FileRestart) {
	starts := make([]workflow.ChildWorkflowFuture, len(files))
	for i, file := range files {
		starts[i] = workflow.ExecuteChildWorkflow(withIngest(ctx, file.ReadyFile, file.ServerName, file.ServerUUID, file.Status),
			NameFileIngest, FileIngestInput{
				FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Mode: file.Mode, From: file.From, Failure: file.Failure,
			})
	}
	for i := range files {
		err := starts[i].GetChildWorkflowExecution().Get(ctx, nil)
		if err == nil {
			r.found.Restarted++
		} else if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			workflow.GetLogger(ctx).Error("cannot restart a file", "file", files[i].UUID, "error", err)
		}
	}
}

func (r *reconciliation) sweepStaging(ctx workflow.Context) error {
	var hosts activities.ListHostsResult
	in := activities.ListHostsInput{Within: hostMaxAge}
	asking := withSummary(withQuick(ctx), "list the workers with staging folders")
	if err := workflow.ExecuteActivity(asking, do.ListHosts, in).Get(ctx, &hosts); err != nil {
		return err
	}
	sweeps := make([]workflow.Future, len(hosts.Queues))
	for i, queue := range hosts.Queues {
		queue = temporalnames.CleanupQueue(queue)
		sweeping := withSummary(withHostSweep(ctx, queue), "remove orphaned staged bytes on "+queue)
		sweeps[i] = workflow.ExecuteActivity(sweeping, do.SweepStaging,
			activities.SweepInput{Age: r.in.StagingAge})
	}
	for i, sweep := range sweeps {
		var swept activities.SweepResult
		err := sweep.Get(ctx, &swept)
		r.found.StagingRemoved += swept.Removed
		r.found.Note(swept.Findings...)
		if hostTimedOut(err) {
			r.found.HostsSilent++
			r.found.Note(hosts.Queues[i] + " does not respond: its staging was not checked")
		} else {
			r.noteFailure("the staging of "+hosts.Queues[i], err)
		}
	}
	return nil
}

func (r *reconciliation) sweepUploads(ctx workflow.Context) error {
	var swept activities.SweepResult
	sweeping := withSummary(withSweep(ctx), "abort orphaned uploads")
	err := workflow.ExecuteActivity(sweeping, do.SweepUploads, activities.SweepInput{Age: r.in.UploadAge}).Get(ctx, &swept)
	r.found.UploadsAborted += swept.Removed
	r.found.Note(swept.Findings...)
	return err
}

func (r *reconciliation) checkObjects(ctx workflow.Context) error {
	var checked activities.CheckObjectsResult
	checking := withSummary(withSweep(ctx), "check the objects of recently completed files")
	err := workflow.ExecuteActivity(checking, do.CheckObjects,
		activities.CheckObjectsInput{Within: r.in.ObjectsWithin}).Get(ctx, &checked)
	r.found.ObjectsMissing += checked.Missing
	r.found.Note(checked.Findings...)
	return err
}

// withSweep is for checking many items; the next run repeats failed ones.
func withSweep(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}

// withHostSweep is withSweep on a worker that may be gone.
func withHostSweep(ctx workflow.Context, queue string) workflow.Context {
	options := workflow.GetActivityOptions(withSweep(ctx))
	options.TaskQueue, options.ScheduleToStartTimeout = queue, hostStartTimeout
	return workflow.WithActivityOptions(ctx, options)
}

// describe sets the details in Temporal's Web UI.
func (r *reconciliation) describe(ctx workflow.Context, doing string) {
	f := r.found
	text := fmt.Sprintf("Reconciliation **%s**.\n\nFiles without a workflow: %d requeued, %d restarted. "+
		"Orphans removed: %d staged files, %d unfinished uploads. Needs attention: %d missing objects, %d unresponsive workers.",
		doing, f.Requeued, f.Restarted, f.StagingRemoved, f.UploadsAborted, f.ObjectsMissing, f.HostsSilent)
	var findings []string
	for _, finding := range f.Findings {
		findings = append(findings, quote(finding))
	}
	workflow.SetCurrentDetails(ctx, text+bullets(findings))
}

// withIngest is for starting FileIngest as a child of Reconcile. The fairness key is
// the server's uuid: with fairness enabled, one server's backlog does not delay
// another's.
func withIngest(ctx workflow.Context, file activities.ReadyFile, serverName, serverUUID string, status ingest.Status) workflow.Context {
	shown := FileMetadata{ServerName: serverName, Path: cmp.Or(file.Path, file.Summary), Size: file.Size, Status: status}
	start := shown.start(file.UUID, serverUUID)
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            start.ID,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         start.StaticSummary,
		Memo:                  start.Memo,
		TypedSearchAttributes: start.TypedSearchAttributes,
		Priority:              start.Priority,
	})
}

// StartIngest returns the start options of a file's FileIngest, without the task queue.
func StartIngest(file ingest.File, serverUUID string) client.StartWorkflowOptions {
	shown := FileMetadata{ServerName: file.ServerName, Path: ingest.DisplayPath(file.RemotePath), Size: file.Size, Status: file.Status}
	return shown.start(file.UUID, serverUUID)
}

func (s FileMetadata) start(fileUUID, serverUUID string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                                       temporalnames.IngestWorkflowID(fileUUID),
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            s.Summary(),
		Memo:                                     s.Memo(),
		TypedSearchAttributes:                    s.SearchAttributes(),
		Priority:                                 temporal.Priority{FairnessKey: serverUUID},
	}
}
