package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
)

// AuditServersInput names an audit that the ledger knows of.
type AuditServersInput struct {
	RunUUID string `json:"run_uuid"`
}

// AuditServers carries out an audit that somebody asked for. What cannot be
// compared after some tries ends the audit as failed, with the reason.
func AuditServers(ctx workflow.Context, in AuditServersInput) error {
	workflow.SetCurrentDetails(ctx, "Compares servers, ledger, objects and announcements; what it finds is on the page of the audit.")
	run := activities.AuditInput{RunUUID: in.RunUUID}
	err := restartOnDrain(withAudit(ctx), do.RunAudit, run, nil)
	if err == nil {
		return nil
	}
	_, run.Failure = failureOf(err)
	ending, _ := workflow.NewDisconnectedContext(ctx) // cancelled ones end, too
	if ended := workflow.ExecuteActivity(withQuick(ending), do.EndAudit, run).Get(ending, nil); ended != nil {
		return ended
	}
	return err
}

// withAudit is for comparing everything: a million objects read again take long.
func withAudit(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &limitedRetry,
	})
}
