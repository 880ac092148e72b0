package sandbox

import (
	"context"
	"testing"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// logTimeout bounds the collection of diagnostics of a failed test.
const logTimeout = 10 * time.Second

// logState logs the servers and files of a failed test, with the events of files that are not
// completed.
func (r *Sandbox) logState(t testing.TB) {
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context(t)), logTimeout)
	defer cancel()
	servers, err := r.Store.Servers(ctx, "", 20)
	t.Logf("the ledger has %d servers (%v)", len(servers), err)
	for _, s := range servers {
		t.Logf("server %s is %s, last scan at %v: %s", s.Name, s.State, s.LastScanAt, s.LastError)
	}
	files, err := r.Store.Files(ctx, ingest.FileFilter{Limit: 20})
	t.Logf("the first files of the ledger (%v):", err)
	for _, f := range files {
		t.Logf("file %s %s is %s in round %d: %s", f.UUID, ingest.DisplayPath(f.RemotePath), f.Status, f.Round, f.ErrorMessage)
		if f.Status == ingest.StatusCompleted {
			continue
		}
		events, _ := r.Store.Events(ctx, f.UUID, 0, 50)
		for _, e := range events {
			t.Logf("  %s %s %v", e.Timestamp.Format(time.TimeOnly), e.Type, e.Details)
		}
	}
}

// logScans logs the workflows of scans of a failed test.
func (h *Cluster) logScans(t testing.TB) {
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.Context(t)), logTimeout)
	defer cancel()
	servers, _ := h.Store.Servers(ctx, "", 20)
	for _, s := range servers {
		h.logWorkflow(ctx, t, temporalnames.DiscoverWorkflowID(s.UUID))
	}
}

// logWorkflow logs the pending work of a workflow and the end of its history.
func (h *Cluster) logWorkflow(ctx context.Context, t testing.TB, id string) {
	now, err := h.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		t.Logf("%s: %v", id, err)
		return
	}
	t.Logf("%s is %s; workflow task: %v; activities: %v", id, now.GetWorkflowExecutionInfo().GetStatus(),
		now.GetPendingWorkflowTask(), now.GetPendingActivities())
	const last = 30
	var lines []string
	events := h.Temporal.GetWorkflowHistory(ctx, id, "", false, 0)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			break
		}
		lines = append(lines, event.GetEventTime().AsTime().Format("15:04:05.000")+" "+event.GetEventType().String())
	}
	for _, line := range lines[max(0, len(lines)-last):] {
		t.Logf("  %s", line)
	}
}
