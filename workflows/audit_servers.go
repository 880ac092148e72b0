package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
)

// AuditServersInput names an audit in the ledger.
type AuditServersInput struct {
	RunUUID string `json:"run_uuid"`
}

// AuditServers runs an audit that was requested through the API. After three failed
// attempts the audit is recorded as failed, with the reason.
func AuditServers(ctx workflow.Context, in AuditServersInput) error {
	workflow.SetCurrentDetails(ctx, "Compares servers, ledger, objects and notifications. Results: the page of the audit in the console.")
	run := activities.AuditInput{RunUUID: in.RunUUID}
	err := restartOnDrain(withAudit(ctx), do.RunAudit, run, nil)
	if err == nil {
		return nil
	}
	_, run.Failure = failureOf(err)
	ending, _ := workflow.NewDisconnectedContext(ctx) // a cancelled audit is recorded, too
	if ended := workflow.ExecuteActivity(withQuick(ending), do.EndAudit, run).Get(ending, nil); ended != nil {
		return ended
	}
	return err
}

// withAudit returns options for RunAudit, which may run for hours.
func withAudit(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}
