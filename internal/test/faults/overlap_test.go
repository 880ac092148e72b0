package faults_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

// TestFault61_ScansOverlap: two concurrent scans and a third one during them result in
// sequential listings, and in one run per file.
func TestFault61_ScansOverlap(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	// The server's scan waits at its end until all three scans have requested it.
	asked := make(chan struct{})
	h.StartWorkerWith(t, h.Cfg, hooks{finishScan: func() error { <-asked; return nil }}.wrap)
	acme := h.AddServer(t, "acme", nil)
	for i := range 5 {
		acme.Write(t, fmt.Sprintf("%d.bin", i), sandbox.Random(1000+i))
	}
	first, second := h.ScanAsync(t), h.ScanAsync(t)
	a, b := first(), second()
	c := h.Scan(t)
	close(asked)
	assert.Equal(t, 1, a.Started+b.Started+c.Started, "one scan of the server, the others joined it")
	assert.Equal(t, 2, a.AlreadyRunning+b.AlreadyRunning+c.AlreadyRunning)
	h.AwaitScans(t, a)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
	}
	h.RequireExactlyOnce(t)
}

// TestFault61_AScheduleOverlaps has a schedule that is due every second while its first
// scan is still running: no second one is started.
func TestFault61_AScheduleOverlaps(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	asked := make(chan struct{})
	h.StartWorkerWith(t, h.Cfg, hooks{dueServers: func() { <-asked }}.wrap)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	schedule, err := h.Temporal.ScheduleClient().Create(h.Context(t), client.ScheduleOptions{
		ID:      "overlap-" + uuid.NewString(),
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Second}}},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		Action: &client.ScheduleWorkflowAction{
			ID: temporalnames.ScanWorkflowID(uuid.NewString()), TaskQueue: h.Queue, Workflow: workflows.NameScanAllServers,
			Args: []any{workflows.ScanAllServersInput{Source: "schedule"}},
		},
	})
	require.NoError(t, err)
	remove := func() { _ = schedule.Delete(h.Context(t)) }
	defer remove()
	var scan string
	sandbox.Eventually(t, func() bool {
		now, err := schedule.Describe(h.Context(t))
		if err != nil || now.Info.NumActionsSkippedOverlap < 3 {
			return false
		}
		assert.Equal(t, 1, now.Info.NumActions, "two scans ran concurrently")
		require.Len(t, now.Info.RunningWorkflows, 1)
		scan = now.Info.RunningWorkflows[0].WorkflowID
		return true
	}, sandbox.Timeout, 5*tick, "the schedule was never due during a scan")
	remove()
	close(asked)
	var summary workflows.ScanSummary
	require.NoError(t, h.Temporal.GetWorkflow(h.Context(t), scan, "").Get(h.Context(t), &summary))
	assert.Equal(t, 1, summary.Started)
	h.AwaitScans(t, summary)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.bin")).UUID)
	h.RequireExactlyOnce(t)
}
