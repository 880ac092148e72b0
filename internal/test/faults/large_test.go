package faults_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// listingMemory bounds the memory of a worker for a folder of 100,000 files,
// transferMemory the memory for a file of any size. Both are in addition to the memory
// for a small file.
const (
	listingMemory  = 192 << 20
	transferMemory = 128 << 20
)

// smallWork returns the peak memory of a worker process that ingests one small file.
func smallWork(t *testing.T, h *sandbox.Cluster, sshd *services.SSHD) int64 {
	t.Helper()
	sshd.Write(t, "small.csv", sandbox.Random(1000))
	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, sshd.Path("small.csv")).UUID)
	peak := worker.PeakMemory(t)
	worker.Terminate(t)
	return peak
}

// TestFault18_ManyEntries: a folder of 100,000 files delays no other server and takes
// little memory, and its files are ingested.
func TestFault18_ManyEntries(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	const many, enough = 100_000, 20
	h := sandbox.NewCluster(t)
	globex := h.AddServer(t, "globex", nil)
	small := smallWork(t, h, globex)
	acme := services.StartSSHD(t, services.SSHDOptions{})
	server := h.Register(t, acme, "acme", func(s *ingest.Server) { s.MaxParallel = 2 })
	require.NoError(t, os.Mkdir(acme.Path("many"), 0o755))
	for i := range many {
		require.NoError(t, os.WriteFile(acme.Path(fmt.Sprintf("many/%06d.csv", i)), nil, 0o600))
	}
	globex.Write(t, "one.csv", sandbox.Random(100))
	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	h.Scan(t)
	h.AwaitIngest(t, h.Completed(t, globex.Path("one.csv")).UUID)
	sandbox.Eventually(t, func() bool { return h.Count(t) >= many }, 4*sandbox.Timeout, sandbox.Timeout/100)
	var done []ingest.File
	sandbox.Eventually(t, func() bool {
		done = completedOf(t, h, server.UUID, enough)
		return len(done) == enough
	}, 4*sandbox.Timeout, sandbox.Timeout/100, "no file is ingested")
	peak := worker.PeakMemory(t)
	figure(t, "fault 18: %d entries: %.0f MiB of memory, %.0f MiB for one small file", many, mib(peak), mib(small))
	assert.Less(t, peak, small+listingMemory)

	// The audit covers the other server and the first of the many files; the rest would
	// take hours.
	checked := map[string]bool{}
	for _, f := range done {
		h.AwaitIngest(t, f.UUID)
		checked[f.UUID] = true
		h.OtherSources = append(h.OtherSources, audit.Source{Server: "acme", Path: f.RemotePath, SHA256: sandbox.Digest(nil)})
	}
	h.StopWorkers(t)
	h.Ignore = func(f ingest.File) bool { return f.ServerUUID == server.UUID && !checked[f.UUID] }
	h.RequireExactlyOnce(t)
}

// completedOf returns the first completed files of a server, at most limit.
func completedOf(t *testing.T, h *sandbox.Cluster, serverUUID string, limit int) []ingest.File {
	t.Helper()
	found, err := h.Store.Files(h.Context(t), ingest.FileFilter{Server: serverUUID, Statuses: []ingest.Status{ingest.StatusCompleted}, Limit: limit})
	require.NoError(t, err)
	return found
}

// TestFault19_EndlessListing: the listing is limited, and the server suspended.
func TestFault19_EndlessListing(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	globex := h.AddServer(t, "globex", nil)
	small := smallWork(t, h, globex)
	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	faulty := h.AddFaulty(t, "faulty", nil)
	faulty.SetFaults(services.SFTPFaults{Endless: true})
	globex.Write(t, "one.csv", sandbox.Random(100))
	h.Scan(t)
	h.AwaitIngest(t, h.Completed(t, globex.Path("one.csv")).UUID)
	sandbox.Eventually(t, func() bool {
		server, err := h.Store.ServerByName(h.Context(t), "faulty")
		return err == nil && server.State == ingest.ServerSuspended && strings.Contains(server.LastError, "more than")
	}, 4*sandbox.Timeout, sandbox.Timeout/100)
	peak := worker.PeakMemory(t)
	figure(t, "fault 19: a listing without end: %.0f MiB of memory, %.0f MiB for one small file", mib(peak), mib(small))
	// A folder is held in memory while it is listed, up to a million entries.
	assert.Less(t, peak, small+4*listingMemory)
	assert.Equal(t, 2, h.Count(t), "no file of an endless folder is ingested")
	h.RequireExactlyOnce(t)
}

// TestFault17_SixGiB uses a sparse file of zeros, which fits on any disk.
func TestFault17_SixGiB(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	const size = 6 << 30
	h := sandbox.NewCluster(t)
	h.SetTimeout(15 * sandbox.Timeout)
	acme := h.AddServer(t, "acme", nil)
	small := smallWork(t, h, acme)
	acme.Write(t, "huge.bin", nil)
	require.NoError(t, os.Truncate(acme.Path("huge.bin"), size))
	worker := h.StartProcess(t, sandbox.ProcessOptions{})
	scan := h.Scan(t)
	began := time.Now()
	file := h.FileWithin(t, 10*sandbox.Timeout, acme.Path("huge.bin"), completed)
	took := time.Since(began)
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, file.UUID)
	peak := worker.PeakMemory(t)
	figure(t, "fault 17: 6 GiB in %s: %.0f MiB of memory, %.0f MiB for one small file", seconds(took), mib(peak), mib(small))
	assert.Less(t, peak, small+transferMemory)
	h.RequireExactlyOnce(t)
}
