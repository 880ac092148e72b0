package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/rig"
)

// checkpointBytes is how far apart a download's checkpoints are at most.
const checkpointBytes = 32 << 20

// seeded returns random numbers that STEVEDORE_CHAOS_SEED repeats.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("STEVEDORE_CHAOS_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func completed(f ingest.File) bool { return f.Status == ingest.StatusCompleted }

// split is net.SplitHostPort with a number.
func split(t *testing.T, address string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err = strconv.Atoi(text)
	require.NoError(t, err)
	return host, port
}

// TestFault57_KillAtRandomBytes kills the worker process at random offsets of a
// download and of an upload, and counts at a proxy what is read again.
func TestFault57_KillAtRandomBytes(t *testing.T) {
	long(t)
	t.Parallel()
	const size, kills = 1 << 30, 4
	random := seeded(t)
	h := rig.NewHarbour(t)
	acme, sftp := slowServer(h, "acme", 96<<10)
	content := rig.Random(size)
	acme.Write("large.bin", content)
	digest := rig.Digest(content)

	worker := h.StartProcess(rig.ProcessOptions{})
	scan := h.ScanAsync()
	for i := range int64(kills) {
		offset := i*size/kills + random.Int64N(size/kills)
		awaitStaged(t, h.Cfg.Staging.Dir, offset)
		worker.Kill()
		t.Logf("killed at %d MiB of the download", stagedBytes(h.Cfg.Staging.Dir)>>20)
		worker = h.StartProcess(rig.ProcessOptions{})
	}
	sftp.Mend("bandwidth")
	file := h.FileWithin(4*rig.Patience, acme.Path("large.bin"), completed)
	h.AwaitScans(scan())
	h.AwaitIngest(file.UUID)
	worker.Terminate()
	again := sftp.Received() - size
	t.Logf("read again from the source: %.1f MiB after %d kills, %.1f MiB a kill (with SSH's own bytes)",
		float64(again)/(1<<20), kills, float64(again)/(1<<20)/kills)
	assert.Less(t, again, int64(size/100+kills*checkpointBytes), "at most 1 %% and a checkpoint for each kill")
	assert.Equal(t, digest, file.Hash)
	h.RequireExactlyOnce()
}

// TestAKilledUploadReadsNothingAgain: the source is not asked for a byte, and
// parts that are in the store are not sent again.
func TestAKilledUploadReadsNothingAgain(t *testing.T) {
	long(t)
	t.Parallel()
	const size = 256 << 20
	h := rig.NewHarbour(t)
	acme, sftp := slowServer(h, "acme", 1<<20)
	acme.Write("large.bin", rig.Random(size))
	host, port := split(t, h.S3.Endpoint)
	store := rig.NewLine(t, host, port)
	store.SpoilUp("bandwidth", map[string]int{"rate": 24 << 10})
	options := rig.ProcessOptions{Env: []string{"STEVEDORE_S3_ENDPOINT=" + store.Address()}}
	worker := h.StartProcess(options)
	scan := h.ScanAsync()
	for range 2 {
		before := h.S3.OpenParts(t)
		rig.Eventually(t, func() bool { return h.S3.OpenParts(t) > before }, rig.Patience, 20*time.Millisecond)
		worker.Kill()
		t.Logf("killed with %d parts in the store", h.S3.OpenParts(t))
		worker = h.StartProcess(options)
	}
	store.Mend("bandwidth")
	file := h.FileWithin(4*rig.Patience, acme.Path("large.bin"), completed)
	h.AwaitScans(scan())
	h.AwaitIngest(file.UUID)
	worker.Terminate()
	again := sftp.Received() - size
	t.Logf("read again from the source: %d KiB (SSH's own bytes)", again>>10)
	assert.Less(t, again, int64(size/100))
	h.RequireExactlyOnce()
}

// TestRollingRestart stops two workers one after another under a load of 200
// files (50 outside make chaos): no progress is lost beyond a checkpoint, and
// each worker is gone in time.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	const large = 48 << 20
	files := 50
	if os.Getenv("STEVEDORE_CHAOS") != "" {
		files = 200
	}
	h := rig.NewHarbour(t)
	acme, sftp := slowServer(h, "acme", 16<<10)
	total := int64(0)
	for i := range files {
		content := rig.Random(20_000 + i)
		acme.Write(fmt.Sprintf("many/%03d.bin", i), content)
		total += int64(len(content))
	}
	acme.Write("large.bin", rig.Random(large))
	total += large
	variable, other := staging(h)
	first, second := h.StartProcess(rig.ProcessOptions{}), h.StartProcess(rig.ProcessOptions{Env: []string{variable}})
	scan := h.Scan()
	rig.Eventually(t, func() bool { return stagedBytes(h.Cfg.Staging.Dir)+stagedBytes(other) > 4<<20 }, rig.Patience, 5*time.Millisecond)

	t.Logf("the first worker ended in %s", first.Terminate().Round(time.Millisecond))
	first = h.StartProcess(rig.ProcessOptions{})
	t.Logf("the second worker ended in %s", second.Terminate().Round(time.Millisecond))
	second = h.StartProcess(rig.ProcessOptions{Env: []string{variable}})
	sftp.Mend("bandwidth")
	h.AwaitScans(scan)
	for _, f := range h.Files() {
		h.AwaitIngest(h.Completed(f.RemotePath).UUID)
	}
	first.Terminate()
	second.Terminate()
	again := sftp.Received() - total
	t.Logf("%d files, %.1f MiB; more than that was sent: %.1f MiB", files+1, float64(total)/(1<<20), float64(again)/(1<<20))
	assert.Less(t, again, total/50+2*(8<<20), "handing over costs what was on the line")
	h.RequireExactlyOnce()
}
