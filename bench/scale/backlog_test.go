package scale_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/bench/scale"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

const (
	// backlogMemory bounds the worker's peak memory in bytes.
	backlogMemory = 500 << 20
	// backlogParallel is the server's concurrency limit.
	backlogParallel = 16
	// backlogSteady is the minimum number of files for comparing the rates at the
	// beginning and at the end. Fewer files take less than a minute, and other load on
	// the machine determines the rates.
	backlogSteady = 5000
	// backlogVariable chooses another number of files.
	backlogVariable = "STEVEDORE_TEST_SCALE_BACKLOG"
)

// TestScaleBacklog brings in a large number of new files of one folder. All
// arrive exactly once, the workflows stay within Temporal's limits, the worker's
// memory is bounded, and the last files are no slower than the first.
func TestScaleBacklog(t *testing.T) {
	t.Parallel()
	n := backlogSize(t)
	h := sandbox.NewCluster(t)
	h.SetTimeout(scale.Size(5*sandbox.Timeout, 3*time.Hour))
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	makeBacklog(t, sshd, n)
	h.Expect(sshd, "acme")
	server := h.Register(t, sshd, "acme", func(s *ingest.Server) { s.Settle, s.MaxParallel = 0, backlogParallel })

	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	summary := h.Scan(t)
	watched := watchLimits(t, h, temporalnames.DiscoverWorkflowID(server.UUID), h.LastScan)
	h.AwaitScans(t, summary)
	watched.require(t)

	files := h.Files(t)
	require.Len(t, files, n)
	requireSteady(t, files)
	scale.Figure(t, "worker %d MiB at most", worker.PeakMemory(t)>>20)
	require.LessOrEqual(t, worker.PeakMemory(t), int64(backlogMemory))
	requireLimits(t, h, h.LastScan)
	requireLimits(t, h, temporalnames.DiscoverWorkflowID(server.UUID))
	began := time.Now()
	h.RequireExactlyOnce(t)
	scale.Figure(t, "the check of all files took %.0f s", time.Since(began).Seconds())
}

// backlogSize is the number of files.
func backlogSize(t *testing.T) int {
	t.Helper()
	chosen := os.Getenv(backlogVariable)
	if chosen == "" {
		return scale.Size(300, 100_000)
	}
	n, err := strconv.Atoi(chosen)
	require.NoError(t, err, backlogVariable)
	require.Positive(t, n, backlogVariable)
	return n
}

// makeBacklog writes n small files, all different.
func makeBacklog(t *testing.T, sshd *services.SSHD, n int) {
	t.Helper()
	require.NoError(t, os.Mkdir(sshd.Path("in"), 0o755))
	for i := range n {
		line := fmt.Sprintf("invoice %07d\n", i)
		require.NoError(t, os.WriteFile(sshd.Path(fmt.Sprintf("in/invoice_%07d.csv", i)), []byte(line), 0o644))
	}
}

// requireSteady prints the rates at which the first, the middle and the last tenth of the
// files were completed. It fails if the last rate is less than half the first.
func requireSteady(t *testing.T, files []ingest.File) {
	t.Helper()
	var ends []time.Time
	for _, f := range files {
		require.Equal(t, ingest.StatusCompleted, f.Status, f.RemotePath)
		ends = append(ends, f.CompletedAt)
	}
	slices.SortFunc(ends, time.Time.Compare)
	n := len(ends)
	tenth := max(n/10, 2)
	rate := func(from int) float64 {
		return float64(tenth-1) / ends[from+tenth-1].Sub(ends[from]).Seconds()
	}
	first, middle, last := rate(0), rate((n-tenth)/2), rate(n-tenth)
	scale.Figure(t, "%d files in %.0f s; files/s: %.1f overall, %.1f in the first tenth, %.1f in the middle, %.1f in the last",
		n, ends[n-1].Sub(ends[0]).Seconds(), float64(n-1)/ends[n-1].Sub(ends[0]).Seconds(), first, middle, last)
	if n >= backlogSteady {
		require.GreaterOrEqual(t, last, first/2, "the last tenth was slower than half the first")
		require.GreaterOrEqual(t, middle, first/2, "the middle tenth was slower than half the first")
	}
}
