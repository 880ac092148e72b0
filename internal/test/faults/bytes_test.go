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
	"stevedore/internal/test/sandbox"
)

// checkpointBytes is the maximum distance of a download's checkpoints.
const checkpointBytes = 32 << 20

// seeds returns the seeds of random runs: STEVEDORE_TEST_SEED, or the same seeds in every
// run, so that runs are reproducible.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	all, err := seedsOf(os.Getenv("STEVEDORE_TEST_SEED"))
	require.NoError(t, err)
	return all
}

func seedsOf(text string) ([]uint64, error) {
	if text == "" {
		return []uint64{20261125, 71}, nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("STEVEDORE_TEST_SEED: %w", err)
	}
	return []uint64{seed}, nil
}

// seeded returns a random generator for the seed.
func seeded(t *testing.T, seed uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d: repeat with make chaos SEED=%d", seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// figure prints one measured value: make chaos | grep figure
func figure(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("figure: "+format, args...)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func completed(f ingest.File) bool { return f.Status == ingest.StatusCompleted }

// split is net.SplitHostPort with a numeric port.
func split(t *testing.T, address string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err = strconv.Atoi(text)
	require.NoError(t, err)
	return host, port
}

// TestFault57_KillAtRandomBytes kills the worker process at random offsets of a download
// of 192 MiB, 1 GiB under make chaos. A proxy counts the bytes that are read again.
func TestFault57_KillAtRandomBytes(t *testing.T) {
	t.Parallel()
	size, kills := int64(192<<20), int64(2)
	if chaosEnabled {
		size, kills = 1<<30, 4
	}
	random := seeded(t, seeds(t)[0])
	h := sandbox.NewCluster(t)
	h.SetTimeout(10 * sandbox.Timeout)
	acme, sftp := slowServer(t, h, "acme", 96<<10)
	content := sandbox.Random(int(size))
	acme.Write(t, "large.bin", content)
	digest := sandbox.Digest(content)

	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	scan := h.ScanAsync(t)
	for i := range kills {
		offset := i*size/kills + random.Int64N(size/kills)
		awaitStagedFor(t, 4*sandbox.Timeout, h.Cfg.Staging.Dir, offset)
		worker.Kill()
		t.Logf("killed at %d MiB of the download", largestStaged(h.Cfg.Staging.Dir)>>20)
		worker = h.StartProcess(t, sandbox.ProcessOptions{})
	}
	sftp.RemoveToxic(t, "bandwidth")
	file := h.FileWithin(t, 4*sandbox.Timeout, acme.Path("large.bin"), completed)
	h.AwaitScans(t, scan())
	h.AwaitIngest(t, file.UUID)
	worker.Terminate(t)
	again := sftp.Received() - size
	figure(t, "fault 57 download: %d kills, %.1f MiB read again, %.1f MiB a kill (SSH's own bytes included)", kills, mib(again), mib(again)/float64(kills))
	assert.Less(t, again, size/100+kills*checkpointBytes, "at most 1 %% and a checkpoint for each kill")
	assert.Equal(t, digest, file.Hash)
	h.RequireExactlyOnce(t)
}

// partsInFlight is the number of parts that an upload sends concurrently, see package
// objstore.
const partsInFlight = 3 * (16 << 20)

// TestAKilledUploadReadsNothingAgain kills the worker process at random moments of an
// upload: no byte is read from the source again, and stored parts are not sent again.
func TestAKilledUploadReadsNothingAgain(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	const size, kills = 1 << 30, 3
	random := seeded(t, seeds(t)[0])
	h := sandbox.NewCluster(t)
	h.SetTimeout(10 * sandbox.Timeout)
	acme, sftp := slowServer(t, h, "acme", 1<<20)
	acme.Write(t, "large.bin", sandbox.Random(size))
	host, port := split(t, h.S3.Endpoint)
	store := sandbox.NewProxy(t, host, port)
	store.AddToxicUp(t, "bandwidth", map[string]int{"rate": 48 << 10})
	options := sandbox.ProcessOptions{Env: []string{"STEVEDORE_S3_ENDPOINT=" + store.Address()}}
	worker := h.StartProcess(t, options)
	scan := h.ScanAsync(t)
	for i := range int64(kills) {
		offset := i*size/kills + random.Int64N(size/kills)
		sandbox.Eventually(t, func() bool { return store.Sent() > offset }, 4*sandbox.Timeout, tick, "the upload does not continue")
		worker.Kill()
		t.Logf("killed after %.0f MiB sent, with %d parts in the store", mib(store.Sent()), h.S3.OpenParts(t))
		worker = h.StartProcess(t, options)
	}
	store.RemoveToxic(t, "bandwidth")
	file := h.FileWithin(t, 4*sandbox.Timeout, acme.Path("large.bin"), completed)
	h.AwaitScans(t, scan())
	h.AwaitIngest(t, file.UUID)
	worker.Terminate(t)
	readAgain, sentAgain := sftp.Received()-size, store.Sent()-size
	figure(t, "fault 57 upload: %d kills, %.1f MiB read again, %.1f MiB sent again, %.1f MiB a kill (the protocols' own bytes included)",
		kills, mib(readAgain), mib(sentAgain), mib(sentAgain)/kills)
	assert.Less(t, readAgain, int64(size/100))
	assert.Less(t, sentAgain, int64(size/100+kills*partsInFlight), "more than the parts in flight were sent again")
	h.RequireExactlyOnce(t)
}

// TestRollingRestart stops two workers one after another under a load of 200 files (50
// outside make chaos): no progress beyond a checkpoint is lost, and each worker ends in
// time.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	const large = 64 << 20
	files := 50
	if chaosEnabled {
		files = 200
	}
	h := sandbox.NewCluster(t)
	acme, sftp := slowServer(t, h, "acme", 4<<10) // the large file still takes 6 s when the wait below ends
	total := int64(0)
	for i := range files {
		content := sandbox.Random(20_000 + i)
		acme.Write(t, fmt.Sprintf("many/%03d.bin", i), content)
		total += int64(len(content))
	}
	acme.Write(t, "large.bin", sandbox.Random(large))
	total += large
	variable, other := staging(t, h)
	first, second := h.StartProcess(t, sandbox.ProcessOptions{}), h.StartProcess(t, sandbox.ProcessOptions{Env: []string{variable}})
	scan := h.Scan(t)
	// Losing all of this would exceed the bound below.
	sandbox.Eventually(t, func() bool { return largestStaged(h.Cfg.Staging.Dir)+largestStaged(other) > 40<<20 }, sandbox.Timeout, 5*time.Millisecond)

	firstTook := first.Terminate(t)
	assert.Less(t, firstTook, h.Cfg.Worker.StopTimeout)
	first = h.StartProcess(t, sandbox.ProcessOptions{})
	secondTook := second.Terminate(t)
	assert.Less(t, secondTook, h.Cfg.Worker.StopTimeout)
	second = h.StartProcess(t, sandbox.ProcessOptions{Env: []string{variable}})
	sftp.RemoveToxic(t, "bandwidth")
	h.AwaitScans(t, scan)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
	}
	first.Terminate(t)
	second.Terminate(t)
	again := sftp.Received() - total
	figure(t, "rolling restart: %d files, %.1f MiB: workers ended in %s and %s, %.1f MiB read again (SSH's own bytes included)",
		files+1, mib(total), seconds(firstTook), seconds(secondTook), mib(again))
	assert.Less(t, again, total/50+checkpointBytes, "more bytes were read again than were in flight")
	h.RequireExactlyOnce(t)
}
