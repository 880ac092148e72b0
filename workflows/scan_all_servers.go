package workflows

import (
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// serversPerPage bounds the children started at once: Temporal takes 2,000
// pending ones, and a run's history should stay small.
const serversPerPage = 200

// scanTries is how often a scan is started that meets one which is just ending.
const scanTries = 3

// ScanAllServersInput says what to scan.
type ScanAllServersInput struct {
	// Servers restricts the scan to these names or uuids; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Force scans servers that are not due or are suspended, too.
	Force bool `json:"force,omitempty"`
	// Source says who asked: "schedule" or "manual".
	Source string `json:"source"`

	// AfterUUID and Done carry the state from run to run; leave them empty.
	AfterUUID string      `json:"after_uuid,omitempty"`
	Done      ScanSummary `json:"done,omitzero"`
}

// ScanSummary counts what became of the servers' scans.
type ScanSummary struct {
	// Started scans are new; AlreadyRunning ones were asked to list again.
	Started        int `json:"started"`
	AlreadyRunning int `json:"already_running"`
	// Failed scans could not be started.
	Failed int `json:"failed"`
	// Servers are those that are being scanned now; at most one page.
	Servers []activities.ServerRef `json:"servers,omitempty"`
}

// ScanAllServers starts one DiscoverFiles for each server that is due and
// waits only until each has started: a slow server delays nobody. A server
// that is being scanned already is asked to look once more.
func ScanAllServers(ctx workflow.Context, in ScanAllServersInput) (ScanSummary, error) {
	in.Done.describe(ctx, "looks which servers are due", in.Source)
	asking := about(withQuick(ctx), "which servers are due?")
	var page activities.ListDueServersResult
	err := workflow.ExecuteActivity(asking, do.ListDueServers, activities.ListDueServersInput{
		AfterUUID: in.AfterUUID, Limit: serversPerPage, Servers: in.Servers, Force: in.Force,
	}).Get(ctx, &page)
	if err != nil {
		return in.Done, err
	}
	summary := in.Done
	summary.Servers = nil
	startScans(ctx, page.Servers, DiscoverFilesInput{Source: in.Source, Force: in.Force}, &summary)
	if page.More {
		in.AfterUUID, in.Done = page.Servers[len(page.Servers)-1].UUID, summary
		return summary, workflow.NewContinueAsNewError(ctx, NameScanAllServers, in)
	}
	summary.describe(ctx, "has ended", in.Source)
	return summary, nil
}

// describe tells Temporal's Web UI how far the scan is.
func (s ScanSummary) describe(ctx workflow.Context, doing, source string) {
	var servers []string
	for _, server := range s.Servers {
		servers = append(servers, code(server.Name)+": "+code(ingest.DiscoverWorkflowID(server.UUID)))
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("This scan **%s**; it was asked for by: %s.\n\n"+
		"Scans of servers: %d started, %d ran already and list once more, %d could not be started.",
		doing, code(source), s.Started, s.AlreadyRunning, s.Failed)+bullets(servers))
}

// startScans starts all and then waits for each: an abandoned child that has
// not started is dropped without a word when its parent closes.
func startScans(ctx workflow.Context, servers []activities.ServerRef, how DiscoverFilesInput, summary *ScanSummary) {
	children := make([]workflow.ChildWorkflowFuture, len(servers))
	for i, server := range servers {
		children[i] = startScan(ctx, server, how)
	}
	for i, server := range servers {
		running, err := scanStarted(ctx, server, how, children[i])
		switch {
		case err != nil:
			workflow.GetLogger(ctx).Error("cannot start the scan of a server", "server", server.Name, "error", err)
			summary.Failed++
			continue
		case running:
			summary.AlreadyRunning++
		default:
			summary.Started++
		}
		summary.Servers = append(summary.Servers, server)
	}
}

func startScan(ctx workflow.Context, server activities.ServerRef, how DiscoverFilesInput) workflow.ChildWorkflowFuture {
	how.ServerUUID = server.UUID
	return workflow.ExecuteChildWorkflow(withDiscover(ctx, server), NameDiscoverFiles, how)
}

// scanStarted waits until the server's scan has started. One that was running is
// asked to list once more; should it end before it is, there is room for a new one.
func scanStarted(ctx workflow.Context, server activities.ServerRef, how DiscoverFilesInput, child workflow.ChildWorkflowFuture) (running bool, err error) {
	for try := 1; ; try++ {
		err = child.GetChildWorkflowExecution().Get(ctx, nil)
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return false, err
		}
		err = workflow.SignalExternalWorkflow(ctx, ingest.DiscoverWorkflowID(server.UUID), "", SignalRescan, Rescan{Force: how.Force}).Get(ctx, nil)
		var ended *temporal.UnknownExternalWorkflowExecutionError
		if !errors.As(err, &ended) || try == scanTries {
			return true, err
		}
		child = startScan(ctx, server, how)
	}
}

func withDiscover(ctx workflow.Context, server activities.ServerRef) workflow.Context {
	start := StartDiscover(server)
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            start.ID,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         start.StaticSummary,
		Memo:                  start.Memo,
		TypedSearchAttributes: start.TypedSearchAttributes,
	})
}

// StartDiscover is how a server's DiscoverFiles is started, but for its task queue.
func StartDiscover(server activities.ServerRef) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                    ingest.DiscoverWorkflowID(server.UUID),
		StaticSummary:         summary(code(server.Name)),
		Memo:                  map[string]any{MemoServer: server.Name},
		TypedSearchAttributes: temporal.NewSearchAttributes(searchServer.ValueSet(server.Name)),
	}
}
