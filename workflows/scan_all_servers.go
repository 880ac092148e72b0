package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/temporalnames"
)

// ScanAllServersInput selects the servers to scan.
type ScanAllServersInput struct {
	// Servers restricts the scan to these names or uuids; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Force scans servers that are not due or are suspended, too.
	Force bool `json:"force,omitempty"`
	// Source is the origin of the scan: "schedule" or "manual".
	Source string `json:"source"`
	// RequestedBy is the name of the principal who requested a manual scan.
	RequestedBy string `json:"requested_by,omitempty"`
	// Tick is the interval of the schedule; 0 for a manual scan.
	Tick time.Duration `json:"tick,omitempty"`
}

// ScanSummary counts the results of one pass over the servers.
type ScanSummary = activities.ScanSummary

// ScanAllServers starts one DiscoverFiles for each due server, without waiting for its
// end: a slow server delays no other. A server whose scan is running receives a rescan
// signal. One activity starts them all, because a child workflow costs several times as
// much as a start by a client.
func ScanAllServers(ctx workflow.Context, in ScanAllServersInput) (summary ScanSummary, err error) {
	describeScan(ctx, summary, "is starting the scans of due servers", in.Source)
	execution := workflow.GetInfo(ctx).WorkflowExecution
	starting := withSummary(withStarts(ctx), "start the scans of due servers")
	err = workflow.ExecuteActivity(starting, do.StartScans, activities.StartScansInput{
		Pass: execution.RunID, Source: in.Source, RequestedBy: in.RequestedBy, Servers: in.Servers, Force: in.Force, Tick: in.Tick,
	}).Get(ctx, &summary)
	if err == nil {
		describeScan(ctx, summary, "has ended", in.Source)
	}
	return summary, err
}

// describeScan sets the details in Temporal's Web UI.
func describeScan(ctx workflow.Context, s ScanSummary, doing, source string) {
	var servers []string
	for _, server := range s.Servers {
		servers = append(servers, code(server.Name)+": "+code(temporalnames.DiscoverWorkflowID(server.UUID)))
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("This scan **%s**. Source: %s.\n\n"+
		"Scans of servers: %d started, %d already running (rescan requested), %d could not be started.",
		doing, code(source), s.Started, s.AlreadyRunning, s.Failed)+bullets(servers))
}

// StartDiscover returns the start options of a server's DiscoverFiles, without the task
// queue.
func StartDiscover(server activities.ServerRef) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                                       temporalnames.DiscoverWorkflowID(server.UUID),
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            summary(code(server.Name)),
		Memo:                                     map[string]any{MemoServer: server.Name},
		TypedSearchAttributes:                    temporal.NewSearchAttributes(searchServer.ValueSet(server.Name)),
	}
}
