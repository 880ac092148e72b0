package scale_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/bench"
	"stevedore/bench/scale"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

const (
	// downloadServers share the files equally.
	downloadServers = 5
	// downloadMemory bounds the worker's memory in bytes.
	downloadMemory = 1 << 30
	// minFairness is the minimum of Jain's index at full size.
	minFairness = 0.9
)

// TestScaleDownloads: one worker downloads 500 files at the same time from five
// servers. Nothing fails, the worker stays below 1 GB of memory, the servers get
// equal shares, and every file is stored exactly once.
func TestScaleDownloads(t *testing.T) {
	t.Parallel()
	files, size := scale.Size(50, 500), scale.Size(1<<20, 20_000_000)
	h := sandbox.NewCluster(t)
	h.SetTimeout(scale.Size(3*sandbox.Timeout, time.Hour))
	enough := files * 9 / 10
	g := newGate(t, enough)
	proxies := serveDownloads(t, h, g, files, size)
	worker := h.StartProcess(t, sandbox.ProcessOptions{Env: []string{
		"STEVEDORE_WORKER_MAX_DOWNLOADS=" + strconv.Itoa(files), "STEVEDORE_WORKER_MAX_UPLOADS=8",
		"STEVEDORE_TRANSFER_MEMORY_LIMIT=0",
	}})
	began := time.Now()
	summary := h.Scan(t)
	awaitOpen(t, h, g)
	scale.Figure(t, "%d downloads under way after %.1f s, memory so far %d MiB", g.held.Load(), time.Since(began).Seconds(), worker.PeakMemory(t)>>20)
	fairness := fairnessOf(t, proxies, int64(files/downloadServers)*int64(size))
	h.AwaitScans(t, summary)
	took := time.Since(began)

	peak := peakOf(t, h, "", ingest.EventDownloadStarted, ingest.EventDownloaded)
	memory := worker.PeakMemory(t)
	scale.Figure(t, "%d files of %d bytes in %.1f s, %d at the same time; memory at most %d MiB; Jain's index %.4f",
		files, size, took.Seconds(), peak, memory>>20, fairness)
	require.GreaterOrEqual(t, peak, enough, "too few concurrent downloads")
	require.LessOrEqual(t, memory, int64(downloadMemory), "the worker's peak memory")
	if scale.Full() {
		require.GreaterOrEqual(t, fairness, minFairness, "a server was starved")
	}
	requireNoFailures(t, h)
	h.RequireExactlyOnce(t)
	require.NoError(t, bench.Empty(t.Context(), h.S3))
}

// serveDownloads starts the servers behind the gate. The files of a server share a few
// contents, so that the sources take little disk space.
func serveDownloads(t *testing.T, h *sandbox.Cluster, g *gate, files, size int) (proxies []*gatedProxy) {
	t.Helper()
	const contents = 3
	each := files / downloadServers
	for i := range downloadServers {
		sshd := services.StartSSHD(t, services.SSHDOptions{})
		for n := range each {
			name := fmt.Sprintf("out/file_%04d.bin", n)
			if n < contents {
				sshd.Write(t, name, sandbox.Random(size + i*contents + n)[:size])
				old := time.Now().Add(-time.Hour)
				require.NoError(t, os.Chtimes(sshd.Path(name), old, old))
				continue
			}
			first := filepath.Join(sshd.Root, fmt.Sprintf("out/file_%04d.bin", n%contents))
			require.NoError(t, os.Link(first, sshd.Path(name)))
		}
		d, host, port := g.proxy(t, sshd.Host, sshd.Port)
		proxies = append(proxies, d)
		h.Adopt(t, sshd, bench.ServerName(i), func(s *ingest.Server) {
			s.Host, s.Port, s.MaxParallel, s.Settle, s.Transfer = host, port, each, 0, ingest.TransferStaged
		})
	}
	return proxies
}

// awaitOpen waits until enough downloads have started.
func awaitOpen(t *testing.T, h *sandbox.Cluster, g *gate) {
	t.Helper()
	select {
	case <-g.open:
	case <-time.After(scale.Size(2*sandbox.Timeout, 5*sandbox.Timeout)):
		t.Fatalf("only %d of %d downloads have started", g.held.Load(), g.enough)
	}
}

// fairnessOf returns Jain's index (sum x)^2 / (n sum x^2) of the bytes that the servers
// send from now until the first of them has sent almost all of its total. See R. Jain,
// DEC-TR-301, 1984.
func fairnessOf(t *testing.T, proxies []*gatedProxy, total int64) float64 {
	t.Helper()
	began, from := time.Now(), make([]int64, len(proxies))
	for i, d := range proxies {
		from[i] = d.received.Load()
	}
	sandbox.Eventually(t, func() bool {
		for _, d := range proxies {
			if d.received.Load() >= total*9/10 {
				return true
			}
		}
		return false
	}, scale.Size(2*sandbox.Timeout, 20*sandbox.Timeout), 5*time.Millisecond, "no server has sent its files")
	took := time.Since(began).Seconds()
	var sum, squares float64
	for i, d := range proxies {
		x := float64(d.received.Load()-from[i]) / took
		scale.Figure(t, "%s: %.1f MiB/s while all servers have files", bench.ServerName(i), x/(1<<20))
		sum, squares = sum+x, squares+x*x
	}
	return sum * sum / (float64(len(proxies)) * squares)
}
