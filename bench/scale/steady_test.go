package scale_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/bench/scale"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// The variables of the steady load: the length of a run, and the file of the
// picture.
const (
	minutesVariable = "STEVEDORE_TEST_SCALE_MINUTES"
	pictureVariable = "STEVEDORE_TEST_SCALE_PICTURE"
)

// serviceNames are the kinds of connections that are counted.
var serviceNames = []string{"SSH", "PostgreSQL", "S3", "AMQP", "Temporal"}

var steadyCharts = [4]scale.Chart{
	{Title: "Memory", Unit: "MiB (RSS)", Kinds: []string{scale.MemoryKind}},
	{Title: "Goroutines", Unit: "goroutines", Kinds: []string{scale.GoroutinesKind}},
	{Title: "Connections", Unit: "connections", Kinds: serviceNames},
	{Title: "Open files", Unit: "file descriptors", Kinds: []string{scale.FilesKind}},
}

// TestScaleSteady writes files at a constant rate to two servers and checks that
// one worker process holds no more at the end than at the beginning.
func TestScaleSteady(t *testing.T) {
	lasts, every := scale.Size(20*time.Second, 30*time.Minute), scale.Size(500*time.Millisecond, 5*time.Second)
	if minutes := os.Getenv(minutesVariable); minutes != "" {
		n, err := strconv.ParseFloat(minutes, 64)
		require.NoError(t, err, minutesVariable)
		lasts, every = time.Duration(n*float64(time.Minute)), 2*time.Second
	}
	s := newSteady(t, lasts)
	samples := s.run(t, lasts, every)
	s.finish(t)
	requireFlat(t, samples, lasts >= 5*time.Minute)
	picture := os.Getenv(pictureVariable)
	if picture == "" {
		picture = filepath.Join(t.TempDir(), "steady.svg")
	}
	require.NoError(t, scale.Draw(picture, samples, steadyCharts))
	drawn, err := os.ReadFile(picture)
	require.NoError(t, err)
	for _, chart := range steadyCharts {
		assert.Contains(t, string(drawn), chart.Title)
	}
	scale.Figure(t, "steady: %d files in %s, %d samples", s.written, lasts, len(samples))
}

// steady is a worker process under a constant load.
type steady struct {
	*sandbox.Cluster
	sshds   []*services.SSHD
	worker  *sandbox.Process
	peers   scale.Peers
	random  *rand.Rand
	written int
}

// newSteady creates one server with staged files and one with direct transfers. Small
// files of the second one are transferred in memory.
func newSteady(t *testing.T, lasts time.Duration) *steady {
	t.Helper()
	s := &steady{Cluster: sandbox.NewCluster(t), random: rand.New(rand.NewPCG(1, 2)), peers: scale.Peers{}}
	s.SetTimeout(lasts + 10*sandbox.Timeout)
	// The order matters: in a short run, write sends all large files to the second.
	for i, mode := range []ingest.TransferSetting{ingest.TransferStaged, ingest.TransferDirect} {
		sshd := s.AddServer(t, []string{"acme", "globex"}[i], func(v *ingest.Server) { v.Transfer, v.Settle = mode, time.Second })
		s.sshds = append(s.sshds, sshd)
		s.peers[sshd.Port] = "SSH"
	}
	s.watch(t, "S3", s.Cfg.S3.Endpoint)
	s.watch(t, "Temporal", os.Getenv("TEMPORAL_ADDRESS"))
	for name, address := range map[string]string{"PostgreSQL": s.Cfg.Database.URL.Reveal(), "AMQP": s.Cfg.AMQP.URL.Reveal()} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		s.watch(t, name, u.Host)
	}
	s.worker = s.StartProcess(t, sandbox.ProcessOptions{})
	return s
}

// watch counts connections to the address under the name.
func (s *steady) watch(t *testing.T, name, address string) {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	s.peers[port] = name
}

// run applies the load and returns the samples. The first sample is taken after the first
// files have arrived.
func (s *steady) run(t *testing.T, lasts, every time.Duration) (samples []scale.Sample) {
	t.Helper()
	const rate, scanEvery = 10, 5 * time.Second
	for range 2 * rate {
		s.write(t)
	}
	s.ScanAndWait(t)
	load, sampling, scanning := time.NewTicker(time.Second/rate), time.NewTicker(every), time.NewTicker(scanEvery)
	defer load.Stop()
	defer sampling.Stop()
	defer scanning.Stop()
	began := time.Now()
	for time.Since(began) < lasts {
		select {
		case <-load.C:
			s.write(t)
		case <-scanning.C:
			s.ScanAsync(t)
		case <-sampling.C:
			values, err := scale.ReadSample(s.worker.Pid(), s.peers)
			require.NoError(t, err)
			values[scale.GoroutinesKind] = float64(s.worker.Goroutines(t, ""))
			samples = append(samples, scale.Sample{At: time.Since(began), Values: values})
		}
	}
	return samples
}

// write writes the next file, first under a temporary name. Every hundredth file has 5 to
// 20 MiB.
func (s *steady) write(t *testing.T) {
	s.written++
	size := 1000 + s.random.IntN(40_000)
	if s.written%100 == 50 {
		size = 5<<20 + s.random.IntN(15<<20)
	}
	sshd, name := s.sshds[s.written/7%2], fmt.Sprintf("%02d/%06d.bin", s.written/600, s.written)
	sshd.Write(t, name+".part", sandbox.Random(size))
	require.NoError(t, os.Rename(sshd.Path(name+".part"), sshd.Path(name)))
}

// finish waits for the last file and checks that each one arrived once.
func (s *steady) finish(t *testing.T) {
	t.Helper()
	done := map[ingest.Mode]int{}
	sandbox.Eventually(t, func() bool {
		s.ScanAndWait(t)
		clear(done)
		for _, f := range s.Files(t) {
			if f.Status == ingest.StatusCompleted {
				done[f.Mode]++
			}
		}
		return done[ingest.ModeMemory]+done[ingest.ModeStaged]+done[ingest.ModeDirect] == s.written
	}, 5*sandbox.Timeout, time.Second, "not every file is completed")
	scale.Figure(t, "steady: files by transfer mode: %v", done)
	for _, mode := range []ingest.Mode{ingest.ModeMemory, ingest.ModeStaged, ingest.ModeDirect} {
		assert.Positive(t, done[mode], "no file was moved in mode %s", mode)
	}
	s.RequireExactlyOnce(t)
}

// requireFlat compares the second quarter with the last one, strictly only after a long
// run: a short run still fills its pools.
func requireFlat(t *testing.T, samples []scale.Sample, long bool) {
	t.Helper()
	require.Greater(t, len(samples), 20)
	few := map[string]float64{scale.MemoryKind: 8, scale.GoroutinesKind: 20, scale.FilesKind: 8}
	for _, kind := range append([]string{scale.MemoryKind, scale.GoroutinesKind, scale.FilesKind}, serviceNames...) {
		second, last := scale.Medians(samples, kind)
		scale.Figure(t, "steady: %s: median %.0f in the second quarter, %.0f in the last", kind, second, last)
		assert.Positive(t, last, "no sample of %s", kind)
		share := 1.10
		if kind == scale.MemoryKind {
			share = 1.15
		}
		most := second*share + max(few[kind], 3)
		if !long {
			most = 2*second + 4*max(few[kind], 3)
		}
		assert.LessOrEqual(t, last, most, "%s grows", kind)
	}
}
