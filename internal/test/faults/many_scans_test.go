package faults_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/test/sandbox"
)

// However many scans are requested concurrently, the server sees few listings over one
// connection. Every request is answered, and every file is ingested once.
func TestManyConcurrentScanRequests(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	tree := h.AddTree(t, "faulty", func(s *ingest.Server) { s.Settle = 0 })
	tree.File("a.csv", "1")
	h.StartWorker(t)
	ops := operations.New(operations.Deps{
		Ledger:       h.Store,
		Orchestrator: orchestrator.Client{Connect: operations.Provide[client.Client](h.Temporal), TaskQueue: h.Queue},
	})
	const asked = 200
	runs := make([]operations.ScanRun, asked)
	var wg sync.WaitGroup
	for i := range asked {
		wg.Go(func() {
			var err error
			runs[i], err = ops.StartScan(h.Context(t), []string{"faulty"})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	scans := map[string]bool{}
	for _, run := range runs {
		if scans[run.UUID] {
			continue
		}
		scans[run.UUID] = true
		require.Eventually(t, func() bool {
			status, err := ops.GetScan(h.Context(t), run.UUID)
			return err == nil && status.State == operations.ScanCompleted
		}, sandbox.Timeout, 100*time.Millisecond)
	}
	rows, err := h.Store.ScansBefore(h.Context(t), runsServer(t, h), 0, 1000)
	require.NoError(t, err)
	t.Logf("%d requests became %d scans and %d listings", asked, len(scans), len(rows))
	assert.LessOrEqual(t, len(scans), 12, "more than two scans within two seconds")
	assert.LessOrEqual(t, len(rows), 2*len(scans))
	for _, r := range tree.Requests("OPENDIR") {
		assert.Equal(t, 1, r.Conn, "one login")
	}
	h.Completed(t, tree.Path("a.csv"))
	assert.Len(t, tree.Requests("OPEN"), 1)
}

func runsServer(t *testing.T, h *sandbox.Cluster) string {
	t.Helper()
	server, err := h.Store.ServerByName(h.Context(t), "faulty")
	require.NoError(t, err)
	return server.UUID
}
