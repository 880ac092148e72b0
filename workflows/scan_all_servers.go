package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// ScanAllServersInput selects what to scan.
type ScanAllServersInput struct {
	// Servers restricts the scan to these names or uuids; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Force scans servers that are not due or are suspended, too.
	Force bool `json:"force,omitempty"`
	// Source says who asked: "schedule" or "manual".
	Source string `json:"source"`
	// Tick is the interval of the schedule; 0 for a scan that was asked for.
	Tick time.Duration `json:"tick,omitempty"`
}

// ScanSummary counts what became of the servers' scans.
type ScanSummary = activities.ScanSummary

// ScanAllServers starts one DiscoverFiles for each server that is due and waits
// only until each has started: a slow server delays no other. A server that is
// being scanned already is asked to list once more. One activity does all of that:
// a child workflow costs several times what a start by a client does.
func ScanAllServers(ctx workflow.Context, in ScanAllServersInput) (summary ScanSummary, err error) {
	describeScan(ctx, summary, "starts the scans of servers that are due", in.Source)
	execution := workflow.GetInfo(ctx).WorkflowExecution
	starting := withSummary(withStarts(ctx), "start the scans of servers that are due")
	err = workflow.ExecuteActivity(starting, do.StartScans, activities.StartScansInput{
		Pass: execution.RunID, Source: in.Source, Servers: in.Servers, Force: in.Force, Tick: in.Tick,
	}).Get(ctx, &summary)
	if err == nil {
		describeScan(ctx, summary, "has ended", in.Source)
	}
	return summary, err
}

// describeScan tells Temporal's Web UI how far the scan is.
func describeScan(ctx workflow.Context, s ScanSummary, doing, source string) {
	var servers []string
	for _, server := range s.Servers {
		servers = append(servers, code(server.Name)+": "+code(ingest.DiscoverWorkflowID(server.UUID)))
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("This scan **%s**; it was asked for by: %s.\n\n"+
		"Scans of servers: %d started, %d ran already and list once more, %d could not be started.",
		doing, code(source), s.Started, s.AlreadyRunning, s.Failed)+bullets(servers))
}

// StartDiscover returns the options to start a server's DiscoverFiles, but for its
// task queue.
func StartDiscover(server activities.ServerRef) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                                       ingest.DiscoverWorkflowID(server.UUID),
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            summary(code(server.Name)),
		Memo:                                     map[string]any{MemoServer: server.Name},
		TypedSearchAttributes:                    temporal.NewSearchAttributes(searchServer.ValueSet(server.Name)),
	}
}
