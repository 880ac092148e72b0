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
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// Progress is the progress of a file's current step in Temporal.
type Progress struct {
	Step ingest.Step
	// Attempt is the number of the running or next attempt, from 1.
	Attempt int
	// Running: a worker runs the attempt.
	Running bool
	// Paused: an operator paused the step in Temporal.
	Paused bool
	// NextTry is the time of the next attempt; zero while one runs or waits for a
	// worker.
	NextTry time.Time
	// Failure is the error of the previous attempt, as one line; empty without one.
	Failure string
	// Done and Total are in bytes, Rate in bytes per second; 0 when unknown.
	Done, Total int64
	Rate        float64
	// Host is the task queue of the worker with the staged bytes; empty without one.
	Host string
}

// ETA returns the remaining time at the present rate; 0 if unknown.
func (p Progress) ETA() time.Duration {
	if p.Rate <= 0 || p.Total <= p.Done {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second)).Round(time.Second)
}

// Notes returns the number of the attempt with the reason why it waits, and the last
// failure. It returns none while the first attempt runs.
func (p Progress) Notes(now time.Time) (notes []ingest.Note) {
	switch {
	case p.Paused:
		notes = append(notes, ingest.Notef("attempt %d, paused in Temporal", p.Attempt))
	case !p.NextTry.IsZero() && p.NextTry.Sub(now) >= time.Second/2:
		notes = append(notes, ingest.Notef("attempt %d, next try in %s", p.Attempt, p.NextTry.Sub(now).Round(time.Second)))
	case !p.NextTry.IsZero():
		notes = append(notes, ingest.Notef("attempt %d, next try now", p.Attempt))
	case !p.Running:
		notes = append(notes, ingest.Notef("attempt %d, waiting for a worker", p.Attempt))
	case p.Attempt > 1:
		notes = append(notes, ingest.Notef("attempt %d", p.Attempt))
	}
	if p.Failure != "" {
		notes = append(notes, ingest.Note{Format: "because", Original: p.Failure})
	}
	return notes
}

// stepOf returns the step of an activity, and whether it has one.
func stepOf(activity string) (ingest.Step, bool) {
	if activity == activities.NameAwaitServer {
		return ingest.StepDownload, true
	}
	step, ok := activities.StepOf[activity]
	return step, ok
}

// StartAudit starts the AuditServers of an audit.
func (o Client) StartAudit(ctx context.Context, runUUID string) error {
	options := client.StartWorkflowOptions{ID: temporalnames.AuditWorkflowID(runUUID), StaticSummary: "audit"}
	_, err := o.start(ctx, options, workflows.NameAuditServers, workflows.AuditServersInput{RunUUID: runUUID})
	return err
}

// AuditRunning reports whether the workflow of an audit runs; KindMissing when there is none.
func (o Client) AuditRunning(ctx context.Context, runUUID string) (bool, error) {
	_, run, err := o.inspect(ctx, temporalnames.AuditWorkflowID(runUUID))
	return running(run), err
}

// IngestProgress returns the progress of the current step of an open FileIngest; known is
// false while no step runs.
func (o Client) IngestProgress(ctx context.Context, fileUUID string) (Progress, bool, error) {
	_, answer, err := o.inspect(ctx, temporalnames.IngestWorkflowID(fileUUID))
	for _, pending := range answer.GetPendingActivities() {
		if step, known := stepOf(pending.GetActivityType().GetName()); known {
			return o.progressOf(step, pending), true, nil
		}
	}
	return Progress{}, false, err
}

func (o Client) progressOf(step ingest.Step, pending *workflowpb.PendingActivityInfo) Progress {
	progress := Progress{
		Step: step, Attempt: max(1, int(pending.GetAttempt())),
		Running: pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED,
		Paused:  pending.GetPaused(), Failure: causeOf(pending.GetLastFailure()),
	}
	if queue := pending.GetActivityOptions().GetTaskQueue().GetName(); queue != o.queue() && queue != temporalnames.TransferQueue(o.queue()) {
		progress.Host = queue
	}
	if next := pending.GetNextAttemptScheduleTime(); next != nil {
		progress.NextTry = next.AsTime()
	}
	var heartbeat activities.Progress
	if details := pending.GetHeartbeatDetails(); details != nil {
		if err := converter.GetDefaultDataConverter().FromPayloads(details, &heartbeat); err == nil {
			progress.Done, progress.Total = heartbeat.Done, heartbeat.Total
		}
	}
	if progress.Running {
		progress.Rate = heartbeat.Rate
	}
	return progress
}

// causeOf returns the message of the outermost application failure, which is also in the
// ledger. The failures around it report only that an activity failed, those below are
// messages of drivers. Without an application failure, for example after a timeout, it
// returns the innermost message.
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
