package activities_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// openAudit is an audit that must not end.
type openAudit struct{ ended bool }

func (*openAudit) BeginAudit(context.Context, string) (ingest.AuditRun, int64, error) {
	return ingest.AuditRun{}, 1, nil
}

func (*openAudit) NoteAudit(context.Context, string, int64, ingest.AuditCounts, []ingest.Discrepancy) error {
	return nil
}

func (a *openAudit) EndAudit(context.Context, string, string) error {
	a.ended = true
	return nil
}

// longAuditor shuts the worker down and runs until its context ends.
type longAuditor struct{ stop chan struct{} }

func (l longAuditor) Audit(ctx context.Context, _ []string, _ bool, _ func(ingest.Discrepancy) error, _ func(ingest.AuditCounts)) (ingest.AuditCounts, error) {
	close(l.stop)
	<-ctx.Done()
	return ingest.AuditCounts{}, ingest.Wrap(ingest.KindTransient, ctx.Err(), "the audit was interrupted")
}

// TestAnAuditIsRestartedOnDrain: it restarts immediately and uses up no attempt.
func TestAnAuditIsRestartedOnDrain(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	stop := make(chan struct{})
	audit := &openAudit{}
	env.SetWorkerStopChannel(stop)
	acts := activities.New(activities.Deps{Audits: audit, Auditor: longAuditor{stop}})
	env.RegisterActivityWithOptions(acts.RunAudit, activity.RegisterOptions{Name: activities.NameRunAudit})
	_, err := env.ExecuteActivity(activities.NameRunAudit, activities.AuditInput{RunUUID: "run"})
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	assert.Equal(t, activities.TypeStopped, app.Type())
	assert.True(t, app.NonRetryable(), "the workflow restarts the audit")
	assert.False(t, audit.ended, "the audit continues after the restart")
}
