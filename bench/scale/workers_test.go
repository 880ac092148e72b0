package scale_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"stevedore/activities"
	"stevedore/bench"
	"stevedore/bench/scale"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// workersGain is the minimum throughput of two workers relative to one, on a load that
// waits on the network.
const workersGain = 1.5

// workersPasses bounds the passes until every worker has moved a file.
const workersPasses = 5

// workersLoad is the load of a round of TestScaleWorkers.
type workersLoad struct {
	// servers share the files equally. A small file is moved by the worker that
	// runs its server's dispatcher, so small files of one server keep one worker
	// busy; staged files are taken by all workers.
	servers, files int
	// size of a file in bytes.
	size int
	// parallel is the concurrency limit of each server.
	parallel int
	// rate of each connection in KiB per second; 0 is unlimited.
	rate     int
	transfer ingest.TransferSetting
	// env are variables of the workers.
	env []string
	// atOnce requires that every worker moves files in the first pass.
	atOnce bool
}

// TestScaleWorkers moves the same load with one, two and three worker processes.
// Every file is stored exactly once, each worker takes part, and no server's
// concurrency limit is exceeded. On a load that waits on the network two workers
// are at least workersGain times as fast as one.
func TestScaleWorkers(t *testing.T) {
	small(t)
	t.Run("network", func(t *testing.T) {
		small(t)
		rates := measureWorkers(t, workersLoad{
			servers: scale.Size(6, 12), files: scale.Size(24, 120), size: scale.Size(256<<10, 2<<20), parallel: 32, rate: 1 << 10,
			transfer: ingest.TransferStaged, env: []string{"STEVEDORE_WORKER_MAX_DOWNLOADS=3"},
		})
		if scale.Full() {
			require.GreaterOrEqual(t, rates[1], workersGain*rates[0], "two workers are hardly faster than one")
		}
	})
	t.Run("one server", func(t *testing.T) {
		small(t)
		load := workersLoad{
			servers: 1, files: scale.Size(24, 120), size: scale.Size(256<<10, 2<<20), parallel: 32, rate: 1 << 10,
			transfer: ingest.TransferStaged, env: []string{"STEVEDORE_WORKER_MAX_DOWNLOADS=3"}, atOnce: true,
		}
		rates := measureWorkers(t, load)
		if scale.Full() {
			require.GreaterOrEqual(t, rates[1], workersGain*rates[0], "a second worker hardly helps one server")
		}
	})
	t.Run("cpu", func(t *testing.T) {
		small(t)
		measureWorkers(t, workersLoad{
			servers: scale.Size(6, 12), files: scale.Size(24, 1500), size: 4 << 10, parallel: scale.Size(2, 4), transfer: ingest.TransferAuto,
		})
	})
}

// measureWorkers moves the load with each number of workers, and prints and returns the
// rates in files per second. The small size has one round with two workers.
func measureWorkers(t *testing.T, load workersLoad) (rates []float64) {
	t.Helper()
	for _, workers := range scale.Size([]int{2}, []int{1, 2, 3}) {
		t.Run(strconv.Itoa(workers)+" workers", func(t *testing.T) {
			rates = append(rates, newWorkersRound(t, load, workers).measure(t))
		})
	}
	if t.Failed() {
		t.FailNow()
	}
	if len(rates) == 3 {
		scale.Figure(t, "files/s of one, two and three workers: %.2f, %.2f, %.2f; in those of one: 1.00, %.2f, %.2f",
			rates[0], rates[1], rates[2], rates[1]/rates[0], rates[2]/rates[0])
	}
	return rates
}

// workersRound is a run of the load with a number of workers, in a separate sandbox.
type workersRound struct {
	*sandbox.Cluster
	load      workersLoad
	sshds     []*services.SSHD
	processes []*sandbox.Process
}

func newWorkersRound(t *testing.T, load workersLoad, workers int) *workersRound {
	t.Helper()
	r := &workersRound{Cluster: sandbox.NewCluster(t), load: load}
	r.SetTimeout(scale.Size(3*sandbox.Timeout, 20*time.Minute))
	for i := range load.servers {
		r.serve(t, bench.ServerName(i))
	}
	for range workers {
		r.startWorker(t)
	}
	r.awaitPollers(t)
	return r
}

// serve starts a server, behind a proxy if the load limits the bandwidth.
func (r *workersRound) serve(t *testing.T, name string) {
	t.Helper()
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	r.Adopt(t, sshd, name, func(s *ingest.Server) {
		s.Settle, s.MaxParallel, s.Transfer = 0, r.load.parallel, r.load.transfer
		if r.load.rate > 0 {
			line := sandbox.NewProxy(t, s.Host, s.Port)
			line.AddToxic(t, "bandwidth", map[string]int{"rate": r.load.rate})
			s.Port = line.Port
		}
	})
	r.sshds = append(r.sshds, sshd)
}

// write writes a pass's files, all different, spread over the servers.
func (r *workersRound) write(t *testing.T, pass int) {
	t.Helper()
	content := sandbox.Random(r.load.size)
	for s, sshd := range r.sshds {
		for i := range r.load.files / r.load.servers {
			copy(content, fmt.Sprintf("%d %d %06d", pass, s, i))
			sshd.Write(t, fmt.Sprintf("pass_%d/file_%06d.bin", pass, i), content)
		}
	}
}

// startWorker starts a worker process with its own staging folder. The first one has the
// sandbox's.
func (r *workersRound) startWorker(t *testing.T) {
	t.Helper()
	env := slices.Clone(r.load.env)
	if len(r.processes) > 0 {
		dir := filepath.Join(t.TempDir(), "staging")
		r.OtherStaging = append(r.OtherStaging, dir)
		env = append(env, "STEVEDORE_STAGING_DIR="+dir)
	}
	r.processes = append(r.processes, r.StartProcess(t, sandbox.ProcessOptions{Env: env}))
}

// awaitPollers waits until every worker polls for activities.
func (r *workersRound) awaitPollers(t *testing.T) {
	t.Helper()
	sandbox.Eventually(t, func() bool {
		found, err := r.Temporal.DescribeTaskQueue(r.Context(t), r.Queue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		return err == nil && len(found.GetPollers()) == len(r.processes)
	}, sandbox.Timeout, 50*time.Millisecond, "not every worker asks for activities")
}

// measure moves all files and returns the rate in files per second.
func (r *workersRound) measure(t *testing.T) (rate float64) {
	t.Helper()
	r.write(t, 0)
	before := r.cpu(t)
	r.ScanAndWait(t)
	cpu := r.cpu(t) - before
	began, ended := r.span(t)
	rate = float64(r.load.files) / ended.Sub(began).Seconds()
	shares := r.shares(t)
	scale.Figure(t, "workers: %d, %d files of %d bytes in %.1f s, %.2f files/s; worker CPU %.2f ms a file; files by worker: %v",
		len(r.processes), r.load.files, r.load.size, ended.Sub(began).Seconds(), rate,
		float64(cpu.Microseconds())/1000/float64(r.load.files), shares)
	if r.load.atOnce {
		require.NotContains(t, shares, 0, "a worker has moved no file")
	}
	r.requireParts(t, shares)
	r.requireLimit(t)
	r.RequireExactlyOnce(t)
	return rate
}

// cpu returns the CPU time of all workers so far.
func (r *workersRound) cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	for _, p := range r.processes {
		used, err := bench.TreeCPU(p.Pid())
		require.NoError(t, err)
		sum += used
	}
	return sum
}

// span returns the start of the first file and the completion of the last.
func (r *workersRound) span(t *testing.T) (began, ended time.Time) {
	t.Helper()
	files := r.Files(t)
	require.Len(t, files, r.load.files)
	for _, f := range files {
		require.Equal(t, ingest.StatusCompleted, f.Status, f.RemotePath)
		for _, e := range r.Events(t, f.UUID) {
			if e.Type == ingest.EventDownloadStarted && (began.IsZero() || e.Timestamp.Before(began)) {
				began = e.Timestamp
			}
		}
		if f.CompletedAt.After(ended) {
			ended = f.CompletedAt
		}
	}
	return began, ended
}

// requireLimit fails if a server had more files in flight than its limit. A file holds
// its slot from before its start until its completion.
func (r *workersRound) requireLimit(t *testing.T) {
	t.Helper()
	var peaks []int
	for i := range r.load.servers {
		peaks = append(peaks, peakOf(t, r.Cluster, bench.ServerName(i), ingest.EventDownloadStarted, ingest.EventNotified))
	}
	scale.Figure(t, "files in flight at most, by server: %v, of %d allowed", peaks, r.load.parallel)
	require.LessOrEqual(t, slices.Max(peaks), r.load.parallel, "more files in flight than the server's concurrency limit")
}

// shares counts the files that each worker moved.
func (r *workersRound) shares(t *testing.T) []int {
	t.Helper()
	shares := make([]int, len(r.processes))
	for _, f := range r.Files(t) {
		fetcher := r.fetcher(t, f.UUID)
		at := slices.IndexFunc(r.processes, func(p *sandbox.Process) bool { return fetcher == p.Pid() })
		require.GreaterOrEqual(t, at, 0, "file %s was moved by process %d", f.UUID, fetcher)
		shares[at]++
	}
	return shares
}

// requireParts fails if a worker moves no file. Temporal chooses the worker of a server's
// dispatcher in each pass, so this may take several passes.
func (r *workersRound) requireParts(t *testing.T, shares []int) {
	t.Helper()
	for pass := 1; slices.Contains(shares, 0); pass++ {
		require.LessOrEqual(t, pass, workersPasses, "files by worker: %v", shares)
		r.write(t, pass)
		r.ScanAndWait(t)
		shares = r.shares(t)
	}
}

// fetcher returns the id of the process that read the file: the process of its Download, or
// in memory mode of its first workflow task. The SDK identifies a worker by "PID@host@".
func (r *workersRound) fetcher(t *testing.T, fileUUID string) (pid int) {
	t.Helper()
	var identity, step string
	history := r.Temporal.GetWorkflowHistory(r.Context(t), temporalnames.IngestWorkflowID(fileUUID), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if a := event.GetWorkflowTaskCompletedEventAttributes(); a != nil && identity == "" {
			identity = a.GetIdentity()
		}
		if a := event.GetActivityTaskScheduledEventAttributes(); a != nil {
			step = a.GetActivityType().GetName()
		}
		if a := event.GetActivityTaskStartedEventAttributes(); a != nil && step == activities.NameDownload {
			identity = a.GetIdentity()
		}
	}
	text, _, _ := strings.Cut(identity, "@")
	pid, err := strconv.Atoi(text)
	require.NoError(t, err, "worker identity %q", identity)
	return pid
}
