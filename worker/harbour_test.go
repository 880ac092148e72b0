package worker_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/rig"
	"stevedore/internal/testenv"
	"stevedore/worker"
	"stevedore/workflows"
)

// harbour is a rig with a Temporal server and workers.
type harbour struct {
	*rig.Rig
	temporal client.Client
	queue    string
	lastScan string // workflow id
}

func newHarbour(t *testing.T) *harbour {
	t.Helper()
	h := &harbour{Rig: rig.New(t)}
	h.temporal, h.queue = testenv.Temporal(t)
	return h
}

// startWorker runs a worker until stop is called or the test ends.
func (h *harbour) startWorker() (stop func()) {
	h.T.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Ctx))
	ended := make(chan error, 1)
	go func() { ended <- worker.RunWith(ctx, h.Cfg, h.temporal, h.queue, slog.New(slog.DiscardHandler)) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(h.T, <-ended)
		}
	}
	h.T.Cleanup(stop)
	return stop
}

// scan starts a scan of all servers and returns its summary.
func (h *harbour) scan() workflows.ScanSummary {
	h.T.Helper()
	h.lastScan = ingest.ScanWorkflowID(uuid.NewString())
	run, err := h.temporal.ExecuteWorkflow(h.Ctx, client.StartWorkflowOptions{
		ID: h.lastScan, TaskQueue: h.queue,
	}, workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "manual"})
	require.NoError(h.T, err)
	var summary workflows.ScanSummary
	require.NoError(h.T, run.Get(h.Ctx, &summary))
	return summary
}

// awaitScans waits until every server's DiscoverFiles has ended.
func (h *harbour) awaitScans(summary workflows.ScanSummary) {
	h.T.Helper()
	for _, s := range summary.Servers {
		_ = h.temporal.GetWorkflow(h.Ctx, ingest.DiscoverWorkflowID(s.UUID), "").Get(h.Ctx, nil)
	}
}

// scanAndWait scans and waits until nothing is left to do.
func (h *harbour) scanAndWait() {
	h.T.Helper()
	h.awaitScans(h.scan())
}
