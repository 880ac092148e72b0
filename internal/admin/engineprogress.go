package admin

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// stepOf maps pending activities to the steps that people know.
func stepOf(activity string) (ingest.Step, bool) {
	if activity == activities.NameAwaitServer {
		return ingest.StepDownload, true
	}
	step, ok := activities.StepOf[activity]
	return step, ok
}

// StartAudit implements Engine.
func (e TemporalEngine) StartAudit(ctx context.Context, runUUID string) error {
	c, err := e.Connect(ctx)
	if err != nil {
		return unreachable(err)
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: ingest.AuditWorkflowID(runUUID), TaskQueue: e.queue(), StaticSummary: "audit",
	}, workflows.NameAuditServers, workflows.AuditServersInput{RunUUID: runUUID})
	return classify(err)
}

// AuditRunning implements Engine.
func (e TemporalEngine) AuditRunning(ctx context.Context, runUUID string) (bool, error) {
	c, err := e.Connect(ctx)
	if err != nil {
		return false, unreachable(err)
	}
	answer, err := c.DescribeWorkflowExecution(ctx, ingest.AuditWorkflowID(runUUID), "")
	if err != nil {
		return false, classify(err)
	}
	return answer.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// IngestProgress implements Engine.
func (e TemporalEngine) IngestProgress(ctx context.Context, fileUUID string) (Progress, bool, error) {
	c, err := e.Connect(ctx)
	if err != nil {
		return Progress{}, false, unreachable(err)
	}
	answer, err := c.DescribeWorkflowExecution(ctx, ingest.IngestWorkflowID(fileUUID), "")
	if err != nil {
		return Progress{}, false, classify(err)
	}
	for _, pending := range answer.GetPendingActivities() {
		if _, known := stepOf(pending.GetActivityType().GetName()); known {
			return e.progressOf(pending), true, nil
		}
	}
	return Progress{}, false, nil
}

func (e TemporalEngine) progressOf(pending *workflowpb.PendingActivityInfo) Progress {
	step, _ := stepOf(pending.GetActivityType().GetName())
	progress := Progress{
		Step: step, Attempt: max(1, int(pending.GetAttempt())),
		Running: pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED,
		Paused:  pending.GetPaused(), Failure: causeOf(pending.GetLastFailure()),
	}
	if queue := pending.GetActivityOptions().GetTaskQueue().GetName(); queue != e.queue() && queue != ingest.TransferQueue(e.queue()) {
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
