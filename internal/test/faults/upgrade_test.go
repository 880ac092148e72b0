package faults_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/worker"
	"stevedore/workflows"
)

// TestFault79_UpgradedInFlight stops a worker while files are at different steps, and
// starts one of another build, which must continue from each history.
func TestFault79_UpgradedInFlight(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	stop := h.StartWorkerWired(t, h.Cfg, worker.Options{BuildID: "before"})
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "failed.bin", sandbox.Random(1000))
	acme.Write(t, "failed.bin.sha256", []byte(sandbox.Digest([]byte("other"))+"  failed.bin\n"))
	h.Scan(t)
	failed := h.Failed(t, acme.Path("failed.bin"))

	var proxy *sandbox.Proxy
	slow := h.AddServer(t, "slow", func(s *ingest.Server) {
		proxy = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port, s.Transfer = proxy.Port, ingest.TransferStaged
	})
	slow.Write(t, "moving.bin", sandbox.Random(8<<20))
	scan := h.Scan(t)
	h.File(t, slow.Path("moving.bin"), func(ingest.File) bool { return true })
	proxy.AddToxic(t, "bandwidth", map[string]int{"rate": 1 << 9})
	moving := h.File(t, slow.Path("moving.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	sandbox.Eventually(t, func() bool { return largestStaged(h.Cfg.Staging.Dir) > 100<<10 }, sandbox.Timeout, tick)
	acme.Write(t, "settling.bin", sandbox.Random(3000))
	late := h.Scan(t)
	h.File(t, acme.Path("settling.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDiscovered })
	runs := []string{runOf(t, h, failed.UUID), runOf(t, h, moving.UUID)} // a file that is fetched again gets another run
	stop()

	proxy.RemoveToxic(t, "bandwidth")
	h.StartWorkerWired(t, h.Cfg, worker.Options{BuildID: "after"})
	acme.Write(t, "failed.bin.sha256", []byte(sandbox.Digest(sandbox.Random(1000))+"  failed.bin\n"))
	require.NoError(t, h.SendUpdate(t, failed.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", Reason: "corrected"}))
	h.AwaitScans(t, scan)
	h.AwaitScans(t, late)
	for _, path := range []string{acme.Path("failed.bin"), acme.Path("settling.bin"), slow.Path("moving.bin")} {
		h.AwaitIngest(t, h.Completed(t, path).UUID)
	}
	for i, file := range []ingest.File{failed, moving} {
		assert.Equal(t, []string{"before", "after"}, buildsOf(t, h, file.UUID, runs[i]), file.RemotePath)
	}
	h.RequireExactlyOnce(t)
}

// runOf returns the current run of the file's workflow.
func runOf(t *testing.T, h *sandbox.Cluster, fileUUID string) string {
	t.Helper()
	described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "")
	require.NoError(t, err)
	return described.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// buildsOf returns the builds that have executed a run of the file's workflow, in order.
func buildsOf(t *testing.T, h *sandbox.Cluster, fileUUID, run string) (builds []string) {
	t.Helper()
	history := h.Temporal.GetWorkflowHistory(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
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
