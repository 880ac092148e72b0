package scale_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/bench/scale"
	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/internal/transfer"
)

const (
	// hugeMemory bounds the worker's memory, in bytes, for a file of any size.
	hugeMemory = 500 << 20
	// hugeHistory bounds the events of the file's workflow; stagedHistory bounds those of
	// a staged file, which has more steps. A kill adds only the workflow tasks that were
	// sent to the dead worker.
	hugeHistory, stagedHistory = 25, 60
)

// TestScaleHuge moves files that are larger than memory, and in one case than the
// disk, while their worker is killed.
func TestScaleHuge(t *testing.T) {
	small(t)
	t.Run("direct, 100 GB", func(t *testing.T) {
		small(t)
		content := services.NewPattern(hugeSize(t, 400_000_000, 100_000_000_000))
		store := services.StartS3Double(t, content)
		h := newHuge(t, content, sandbox.Direct)
		h.UseStore(store.S3, store.Objects)
		h.ingest(t, hugeRun{
			step: activities.NameTransfer, kills: 3, hosts: []string{h.Cfg.Staging.Dir, t.TempDir()},
			cost: directCost(t, content.Size()), seen: store.Received, wrong: store.Errors,
		})
		h.requireObject(t, store.Objects()[0].Checksum)
	})
	t.Run("10 GB staged into MinIO", func(t *testing.T) {
		small(t)
		h := newHuge(t, services.NewPattern(hugeSize(t, 100_000_000, 10_000_000_000)), sandbox.Staged)
		requireRoom(t, 2*h.content.Size())
		h.ingest(t, hugeRun{
			step: activities.NameDownload, kills: 1, hosts: []string{h.Cfg.Staging.Dir}, staged: true,
			cost: transfer.DefaultCheckpointBytes + transfer.DefaultWindow*transfer.DefaultChunkSize, seen: h.file.Read,
		})
	})
	t.Run("10 GB direct into MinIO", func(t *testing.T) {
		small(t)
		h := newHuge(t, services.NewPattern(hugeSize(t, 150_000_000, 10_000_000_000)), sandbox.Direct)
		requireRoom(t, h.content.Size())
		h.ingest(t, hugeRun{
			step: activities.NameTransfer, kills: 1, hosts: []string{h.Cfg.Staging.Dir, t.TempDir()},
			cost: directCost(t, h.content.Size()), seen: h.file.Read,
		})
		h.requireObject(t, "")
	})
}

// small allows a test of the small size to run in parallel.
func small(t *testing.T) {
	if !scale.Full() {
		t.Parallel()
	}
}

// hugeSize returns a size in bytes. STEVEDORE_TEST_SCALE_HUGE_GB limits the full size.
func hugeSize(t *testing.T, small, full int64) int64 {
	t.Helper()
	if text := os.Getenv("STEVEDORE_TEST_SCALE_HUGE_GB"); text != "" {
		most, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		full = min(full, most*1_000_000_000)
	}
	return scale.Size(small, full)
}

// directCost bounds the bytes that are read again after one kill of a direct transfer.
func directCost(t *testing.T, size int64) int64 {
	t.Helper()
	direct, err := transfer.NewDirect(transfer.DirectConfig{Parts: struct{ transfer.PartWriter }{}})
	require.NoError(t, err)
	return direct.MostReadAgain(size)
}

// ingest moves the file while its worker is killed. It requires that the file arrives
// exactly once, within the bounds.
func (h *huge) ingest(t *testing.T, run hugeRun) {
	began := time.Now()
	scan := h.ScanAsync(t)
	worker := h.start(t, run.hosts[0])
	for kill := 1; kill <= run.kills; kill++ {
		h.kill(t, worker, run, kill)
		worker = h.start(t, run.hosts[kill%len(run.hosts)])
	}
	file := h.FileWithin(t, h.patience, h.path, func(f ingest.File) bool {
		run.requireContent(t)
		return f.Status == ingest.StatusCompleted
	})
	took := time.Since(began)
	h.AwaitIngest(t, file.UUID)
	h.AwaitScans(t, scan())
	h.peak = max(h.peak, worker.PeakMemory(t))

	size := h.content.Size()
	assert.Equal(t, size, file.Size)
	assert.Equal(t, h.content.SHA256(), file.Hash)
	again := h.requireResumed(t, run)
	if int64(run.kills)*run.cost <= size/100 { // the share that 100 GB would have
		assert.LessOrEqual(t, again, size/100, "at most a hundredth is read again")
	}
	assert.LessOrEqual(t, h.peak, int64(hugeMemory))
	events := h.historyOf(t, file.UUID)
	most := hugeHistory
	if run.staged {
		most = stagedHistory
	}
	assert.LessOrEqual(t, events, most)
	scale.Figure(t, "%d bytes with %d kills: %.0f s, %.0f MB/s, %d bytes read again (%.2f %%; a kill costs at most %d), %d MiB of memory, %d history events",
		size, run.kills, took.Seconds(), float64(size)/1e6/took.Seconds(), again, float64(again)/float64(size)*100, run.cost, h.peak>>20, events)
	h.OtherSources = []audit.Source{{Server: "acme", Path: h.path, Size: size, SHA256: h.content.SHA256()}}
	h.RequireExactlyOnce(t)
	run.requireContent(t)
}

// kill kills the worker in the middle of the file.
func (h *huge) kill(t *testing.T, worker *sandbox.Process, run hugeRun, number int) {
	t.Helper()
	size, of := h.content.Size(), int64(run.kills+1)
	at := size / of * int64(number)
	// A test that is late must not find the file moved already.
	h.file.Hold(at + size/of/2)
	sandbox.Eventually(t, func() bool {
		run.requireContent(t)
		return run.seen() >= at
	}, h.patience, time.Millisecond, "the transfer does not reach kill %d of %d", number, run.kills)
	h.peak = max(h.peak, worker.PeakMemory(t))
	worker.Kill()
	h.file.Hold(0)
	if !run.staged {
		h.requireNothingStaged(t, run.hosts)
	}
	sandbox.Eventually(t, func() bool { return !h.file.Open() }, sandbox.Timeout, time.Millisecond, "the server holds the file of a dead client open")
	if !scale.Full() {
		h.awaitDetection(t, run.step)
	}
}

// requireResumed requires that every attempt read each byte once, and began at most
// run.cost before the end of the previous one. It returns the number of bytes that were
// read again.
func (h *huge) requireResumed(t *testing.T, run hugeRun) (again int64) {
	t.Helper()
	readings := h.file.Readings()
	require.Greater(t, len(readings), run.kills, "%v", readings)
	reached := int64(0)
	for _, r := range readings {
		assert.LessOrEqual(t, r.Bytes, r.High-r.First, "one attempt reads a byte twice: %v", readings)
		assert.LessOrEqual(t, r.First, reached, "bytes are left out: %v", readings)
		assert.LessOrEqual(t, reached-r.First, run.cost, "a kill costs too much: %v", readings)
		reached = r.High
	}
	assert.Equal(t, h.content.Size(), reached)
	return h.file.Read() - h.content.Size()
}
