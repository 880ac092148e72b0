package faults_test

import (
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/rig"
	"stevedore/internal/testenv"
	"stevedore/workflows"
)

// TestAFileThatCannotBeFetchedHoldsUpNoOther: a server that stutters at one
// file for ever, with room for one at a time. The file gives its place to the
// next after a round of attempts, and is taken once the server is mended.
func TestAFileThatCannotBeFetchedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	long(t)
	h := rig.NewHarbour(t)
	h.StartWorker()
	odd := h.AddOdd("odd", func(s *ingest.Server) { s.MaxParallel, s.ScanInterval = 1, 30*time.Second })
	odd.Be(testenv.OddHooks{Open: func(path string) error {
		if path == odd.Path("a.csv") {
			return sftp.ErrSSHFxFailure
		}
		return nil
	}})
	h.WriteOdd(odd, "odd", "a.csv", rig.Random(10))
	h.WriteOdd(odd, "odd", "b.csv", rig.Random(20))
	h.Scan()
	const aRound = 8 * time.Minute
	h.FileWithin(aRound, odd.Path("b.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	put := h.File(odd.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
	assert.False(t, put.NotBefore.IsZero())
	assert.NotEmpty(t, put.ErrorMessage)

	odd.Be(testenv.OddHooks{})
	scans := ingest.ScanWorkflowID("again-" + h.Queue)
	require.EventuallyWithT(t, func(c *assert.CollectT) { // as the schedule does
		_, err := h.Temporal.ExecuteWorkflow(h.Ctx, client.StartWorkflowOptions{ID: scans, TaskQueue: h.Queue},
			workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "schedule"})
		require.NoError(c, err)
		now, err := h.Store.File(h.Ctx, put.UUID)
		require.NoError(c, err)
		require.Equal(c, ingest.StatusCompleted, now.Status)
	}, aRound, 10*time.Second)
	h.RequireExactlyOnce()
}
