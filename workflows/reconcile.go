package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// ReconcileInput says how old something must be to count as debris. Zero
// values mean the defaults.
type ReconcileInput struct {
	// Unchanged is for rows whose workflow may be gone; default 10 minutes.
	Unchanged time.Duration `json:"unchanged,omitempty"`
	// StagingAge and UploadAge are for what lies in staging and for unfinished
	// uploads; defaults an hour and a day.
	StagingAge time.Duration `json:"staging_age,omitempty"`
	UploadAge  time.Duration `json:"upload_age,omitempty"`
	// ObjectsWithin is how far back objects are looked for; default a day.
	ObjectsWithin time.Duration `json:"objects_within,omitempty"`
}

const (
	// hostsWithin is how long a silent worker's staging is still asked for.
	hostsWithin = 7 * 24 * time.Hour
	// strandedPage is how many rows are looked at at once, and strandedPages
	// how many times in a run: the next one goes on.
	strandedPage  = 100
	strandedPages = 50
	// hostPatience is how long a worker may take to begin with its sweep.
	hostPatience = time.Minute
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

// Reconcile finds what faults have left behind: files whose workflow is gone,
// staged bytes and unfinished uploads nobody comes back for, completed files
// without an object. It repairs what is safe and reports the rest. What one
// part cannot do does not keep the others from theirs.
func Reconcile(ctx workflow.Context, in ReconcileInput) (ingest.Reconciliation, error) {
	r := &reconciliation{in: in.withDefaults(), found: ingest.Reconciliation{
		Key: workflow.GetInfo(ctx).WorkflowExecution.RunID, StartedAt: workflow.Now(ctx),
	}}
	r.part("files without a workflow", r.rescueStranded(ctx))
	r.part("staging folders", r.sweepStaging(ctx))
	r.part("unfinished uploads", r.sweepUploads(ctx))
	r.part("objects", r.checkObjects(ctx))
	err := workflow.ExecuteActivity(withQuick(ctx), activities.NameRecordReconciliation, r.found).Get(ctx, nil)
	return r.found, err
}

// reconciliation is the state of one run.
type reconciliation struct {
	in    ReconcileInput
	found ingest.Reconciliation
}

// part notes that a part could not be looked at.
func (r *reconciliation) part(name string, err error) {
	if err != nil {
		_, message := failureOf(err)
		r.found.Note(name + " could not be reconciled: " + message)
	}
}

func (r *reconciliation) rescueStranded(ctx workflow.Context) error {
	in := activities.FindStrandedInput{Unchanged: r.in.Unchanged, Limit: strandedPage}
	for range strandedPages {
		var page activities.FindStrandedResult
		if err := workflow.ExecuteActivity(withSweep(ctx), activities.NameFindStranded, in).Get(ctx, &page); err != nil {
			return err
		}
		r.found.Requeued += page.Requeued
		r.found.Note(page.Findings...)
		r.restart(ctx, page.Restart)
		if !page.More {
			return nil
		}
		in.AfterID = page.AfterID
	}
	return nil
}

// restart starts workflows and waits until each has: an abandoned child that
// has not started is lost when this run ends.
func (r *reconciliation) restart(ctx workflow.Context, files []activities.Stranded) {
	starts := make([]workflow.ChildWorkflowFuture, len(files))
	for i, file := range files {
		starts[i] = workflow.ExecuteChildWorkflow(withIngest(ctx, file.ReadyFile, file.ServerName, file.ServerUUID, file.Status),
			NameFileIngest, FileIngestInput{
				FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, From: file.From, Parked: file.Parked,
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
	in := activities.ListHostsInput{Within: hostsWithin}
	if err := workflow.ExecuteActivity(withQuick(ctx), activities.NameListHosts, in).Get(ctx, &hosts); err != nil {
		return err
	}
	sweeps := make([]workflow.Future, len(hosts.Queues))
	for i, queue := range hosts.Queues {
		sweeps[i] = workflow.ExecuteActivity(withHostSweep(ctx, queue), activities.NameSweepStaging,
			activities.SweepInput{Age: r.in.StagingAge})
	}
	for i, sweep := range sweeps {
		var swept activities.SweepResult
		err := sweep.Get(ctx, &swept)
		r.found.StagingRemoved += swept.Removed
		r.found.Note(swept.Findings...)
		if hostTimedOut(err) {
			r.found.HostsSilent++
			r.found.Note(hosts.Queues[i] + " does not answer: what its staging holds is not known")
		} else {
			r.part("the staging of "+hosts.Queues[i], err)
		}
	}
	return nil
}

func (r *reconciliation) sweepUploads(ctx workflow.Context) error {
	var swept activities.SweepResult
	err := workflow.ExecuteActivity(withSweep(ctx), activities.NameSweepUploads, activities.SweepInput{Age: r.in.UploadAge}).Get(ctx, &swept)
	r.found.UploadsAborted += swept.Removed
	r.found.Note(swept.Findings...)
	return err
}

func (r *reconciliation) checkObjects(ctx workflow.Context) error {
	var checked activities.CheckObjectsResult
	err := workflow.ExecuteActivity(withSweep(ctx), activities.NameCheckObjects,
		activities.CheckObjectsInput{Within: r.in.ObjectsWithin}).Get(ctx, &checked)
	r.found.ObjectsMissing += checked.Missing
	r.found.Note(checked.Findings...)
	return err
}

// withSweep is for looking through many things; what fails is left to the next run.
func withSweep(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &brief,
	})
}

// withHostSweep is withSweep on a worker that may be gone.
func withHostSweep(ctx workflow.Context, queue string) workflow.Context {
	options := workflow.GetActivityOptions(withSweep(ctx))
	options.TaskQueue, options.ScheduleToStartTimeout = queue, hostPatience
	return workflow.WithActivityOptions(ctx, options)
}

// withIngest is how FileIngest is started. The server's uuid is the fairness
// key, so that where fairness is on one server's backlog does not hold up
// another's; where it is off the key does nothing.
func withIngest(ctx workflow.Context, file activities.ReadyFile, serverName, serverUUID string, status ingest.Status) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:        ingest.IngestWorkflowID(file.UUID),
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     file.Summary,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			searchServer.ValueSet(serverName),
			searchStatus.ValueSet(string(status)),
			searchSize.ValueSet(file.Size),
		),
		Priority: temporal.Priority{FairnessKey: serverUUID},
	})
}
