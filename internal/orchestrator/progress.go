package orchestrator

import (
	"context"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// Progress is how the step that a file is at stands, as Temporal knows it.
type Progress struct {
	Step ingest.Step
	// Attempt is the try under way, or the one that comes next; from 1.
	Attempt int
	// Running says that a worker is at it now.
	Running bool
	// Paused says that an operator has paused the step in Temporal.
	Paused bool
	// NextTry is when the next try begins; zero while one runs or waits for a
	// worker.
	NextTry time.Time
	// Failure is why the try before failed, as one line; may be empty.
	Failure string
	// Done and Total are in bytes, Rate in bytes per second; 0 when unknown.
	Done, Total int64
	Rate        float64
	// Host is the task queue of the worker that holds the bytes; may be empty.
	Host string
}

// ETA is how long the rest takes at the present rate; 0 when unknown.
func (p Progress) ETA() time.Duration {
	if p.Rate <= 0 || p.Total <= p.Done {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second)).Round(time.Second)
}

// stepOf maps pending activities to the steps that people know.
func stepOf(activity string) (ingest.Step, bool) {
	if activity == activities.NameAwaitServer {
		return ingest.StepDownload, true
	}
	step, ok := activities.StepOf[activity]
	return step, ok
}

// StartAudit starts the AuditServers of an audit.
func (o Client) StartAudit(ctx context.Context, runUUID string) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: ingest.AuditWorkflowID(runUUID), TaskQueue: o.queue(), StaticSummary: "audit",
	}, workflows.NameAuditServers, workflows.AuditServersInput{RunUUID: runUUID})
	return classify(err)
}

// AuditRunning reports whether the workflow of an audit runs.
func (o Client) AuditRunning(ctx context.Context, runUUID string) (bool, error) {
	c, err := o.connect(ctx)
	if err != nil {
		return false, err
	}
	answer, err := c.DescribeWorkflowExecution(ctx, ingest.AuditWorkflowID(runUUID), "")
	if err != nil {
		return false, classify(err)
	}
	return answer.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// IngestProgress returns the progress of the current step of an open FileIngest; known is
// false while no step runs.
func (o Client) IngestProgress(ctx context.Context, fileUUID string) (Progress, bool, error) {
	c, err := o.connect(ctx)
	if err != nil {
		return Progress{}, false, err
	}
	answer, err := c.DescribeWorkflowExecution(ctx, ingest.IngestWorkflowID(fileUUID), "")
	if err != nil {
		return Progress{}, false, classify(err)
	}
	for _, pending := range answer.GetPendingActivities() {
		if _, known := stepOf(pending.GetActivityType().GetName()); known {
			return o.progressOf(pending), true, nil
		}
	}
	return Progress{}, false, nil
}

func (o Client) progressOf(pending *workflowpb.PendingActivityInfo) Progress {
	step, _ := stepOf(pending.GetActivityType().GetName())
	progress := Progress{
		Step: step, Attempt: max(1, int(pending.GetAttempt())),
		Running: pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED,
		Paused:  pending.GetPaused(), Failure: causeOf(pending.GetLastFailure()),
	}
	if queue := pending.GetActivityOptions().GetTaskQueue().GetName(); queue != o.queue() && queue != ingest.TransferQueue(o.queue()) {
		progress.Host = queue
	}
	if next := pending.GetNextAttemptScheduleTime(); next != nil {
		progress.NextTry = next.AsTime()
	}
	var beat activities.Progress
	if details := pending.GetHeartbeatDetails(); details != nil {
		if err := converter.GetDefaultDataConverter().FromPayloads(details, &beat); err == nil {
			progress.Done, progress.Total = beat.Done, beat.Total
		}
	}
	if progress.Running {
		progress.Rate = beat.Rate
	}
	return progress
}

// causeOf returns the line for people that an activity made of its error, the
// same that ledger and Temporal show: the outermost application failure's. What
// is around it says only that an activity failed, what is below it is a driver's
// wording. Other failures, such as time-outs, say what is at the bottom.
func causeOf(failure *failurepb.Failure) string {
	message := ""
	for ; failure != nil; failure = failure.GetCause() {
		message = failure.GetMessage()
		if failure.GetApplicationFailureInfo() != nil {
			break
		}
	}
	return ingest.DisplayPath(message)
}
