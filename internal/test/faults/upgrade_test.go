package faults_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/worker"
	"stevedore/workflows"
)

// TestFault79_UpgradedInFlight stops a worker while files are at different steps, and
// starts one of another build, which must continue from each history.
func TestFault79_UpgradedInFlight(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	stop := h.StartWorkerWired(h.Cfg, worker.Wiring{BuildID: "before"})
	acme := h.AddServer("acme", sandbox.Staged)
	acme.Write("parked.bin", sandbox.Random(1000))
	acme.Write("parked.bin.sha256", []byte(sandbox.Digest([]byte("other"))+"  parked.bin\n"))
	h.Scan()
	parked := h.Parked(acme.Path("parked.bin"))

	var line *sandbox.Proxy
	slow := h.AddServer("slow", func(s *ingest.Server) {
		line = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port, s.Transfer = line.Port, ingest.TransferStaged
	})
	slow.Write("moving.bin", sandbox.Random(8<<20))
	scan := h.Scan()
	h.File(slow.Path("moving.bin"), func(ingest.File) bool { return true })
	line.AddToxic("bandwidth", map[string]int{"rate": 1 << 9})
	moving := h.File(slow.Path("moving.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	sandbox.Eventually(t, func() bool { return longestStaged(h.Cfg.Staging.Dir) > 100<<10 }, sandbox.Timeout, tick)
	acme.Write("settling.bin", sandbox.Random(3000))
	late := h.Scan()
	h.File(acme.Path("settling.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDiscovered })
	runs := []string{runOf(h, parked.UUID), runOf(h, moving.UUID)} // a file that is fetched again gets another run
	stop()

	line.RemoveToxic("bandwidth")
	h.StartWorkerWired(h.Cfg, worker.Wiring{BuildID: "after"})
	acme.Write("parked.bin.sha256", []byte(sandbox.Digest(sandbox.Random(1000))+"  parked.bin\n"))
	require.NoError(t, h.SendUpdate(parked.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", Reason: "corrected"}))
	h.AwaitScans(scan)
	h.AwaitScans(late)
	for _, path := range []string{acme.Path("parked.bin"), acme.Path("settling.bin"), slow.Path("moving.bin")} {
		h.AwaitIngest(h.Completed(path).UUID)
	}
	for i, file := range []ingest.File{parked, moving} {
		assert.Equal(t, []string{"before", "after"}, buildsOf(h, file.UUID, runs[i]), file.RemotePath)
	}
	h.RequireExactlyOnce()
}

// runOf returns the current run of the file's workflow.
func runOf(h *sandbox.Cluster, fileUUID string) string {
	h.T.Helper()
	described, err := h.Temporal.DescribeWorkflowExecution(h.Ctx, ingest.IngestWorkflowID(fileUUID), "")
	require.NoError(h.T, err)
	return described.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// buildsOf returns the builds that have executed a run of the file's workflow, in order.
func buildsOf(h *sandbox.Cluster, fileUUID, run string) (builds []string) {
	h.T.Helper()
	history := h.Temporal.GetWorkflowHistory(h.Ctx, ingest.IngestWorkflowID(fileUUID), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(h.T, err)
		done := event.GetWorkflowTaskCompletedEventAttributes()
		if done == nil {
			continue
		}
		build := done.GetWorkerVersion().GetBuildId() //nolint:staticcheck // without versioning it still has the build id
		if build != "" && (len(builds) == 0 || builds[len(builds)-1] != build) {
			builds = append(builds, build)
		}
	}
	return builds
}
