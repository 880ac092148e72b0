package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// chaosRun is a cluster in which parts fail at random.
type chaosRun struct {
	*sandbox.Cluster
	random  *rand.Rand
	proxies map[string]*sandbox.Proxy
	sshds   []*services.SSHD
	env     []string
	workers [2]*sandbox.Process
	staging [2]string // each worker's staging
	// deadUntil is the time at which a killed worker is restarted.
	deadUntil [2]time.Time
	written   int
	actions   map[string]int
}

// TestFault63_Chaos injects random faults while files arrive. At the end every file must
// have arrived exactly once.
func TestFault63_Chaos(t *testing.T) {
	t.Parallel()
	lasts, with := 30*time.Second, seeds(t)[:1]
	if chaosEnabled {
		lasts, with = 5*time.Minute, seeds(t)
	}
	for _, seed := range with {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			chaos(t, seed, lasts)
		})
	}
}

func chaos(t *testing.T, seed uint64, lasts time.Duration) {
	s := newChaosRun(t, seed)
	s.SetTimeout(lasts + 7*sandbox.Timeout)
	over := time.Now().Add(lasts)
	scans := s.keepScanning(t)
	for time.Now().Before(over) {
		s.act(t)
		s.restartWorkers(t)
	}
	t.Logf("in %s: %v; %d files", lasts, s.actions, s.written)
	after := scans()
	figure(t, "fault 63 seed %d: %d faults in %s on %d files: all files completed %s later; %d fetched again by another host, %d retried by an operator",
		seed, s.injected(), lasts, s.written, seconds(after), s.takenOver(t), s.actions["retry"])
	s.RequireExactlyOnce(t)
}

func newChaosRun(t *testing.T, seed uint64) *chaosRun {
	t.Helper()
	s := &chaosRun{Cluster: sandbox.NewCluster(t), random: seeded(t, seed), proxies: map[string]*sandbox.Proxy{}, actions: map[string]int{}}
	for _, name := range []string{"acme", "globex"} {
		s.sshds = append(s.sshds, s.AddServer(t, name, func(v *ingest.Server) {
			proxy := sandbox.NewProxy(t, v.Host, v.Port)
			s.proxies[name], v.Port = proxy, proxy.Port
		}))
		// A large file takes some seconds, so faults hit it in the middle.
		s.proxies[name].AddToxic(t, "bandwidth", map[string]int{"rate": 8 << 10})
	}
	address := func(part, hostport string) string {
		host, port := split(t, hostport)
		s.proxies[part] = sandbox.NewProxy(t, host, port)
		return s.proxies[part].Address()
	}
	through := func(part, variable, from string) {
		u, err := url.Parse(from)
		require.NoError(t, err)
		u.Host = address(part, u.Host)
		s.env = append(s.env, variable+"="+u.String())
	}
	through("postgres", "STEVEDORE_DATABASE_URL", s.Cfg.Database.URL.Reveal())
	through("broker", "STEVEDORE_AMQP_URL", s.Cfg.AMQP.URL.Reveal())
	s.env = append(s.env, "STEVEDORE_S3_ENDPOINT="+address("store", s.Cfg.S3.Endpoint), shortHostTimeout)
	proxy, variable := temporalProxy(t)
	s.proxies["temporal"] = proxy
	s.env = append(s.env, variable)
	s.staging[0] = "STEVEDORE_STAGING_DIR=" + s.Cfg.Staging.Dir
	s.staging[1], _ = staging(t, s.Cluster)
	s.restartWorkers(t)
	for range 20 {
		s.write(t)
	}
	return s
}

// restartWorkers restarts killed workers, like a process manager.
func (s *chaosRun) restartWorkers(t *testing.T) {
	for i, p := range s.workers {
		if (p == nil || !p.Running()) && time.Now().After(s.deadUntil[i]) {
			s.workers[i] = s.StartProcess(t, sandbox.ProcessOptions{Env: append([]string{s.staging[i]}, s.env...)})
		}
	}
}

// write adds a file to a random server, under a temporary name first.
func (s *chaosRun) write(t *testing.T) {
	s.written++
	name := fmt.Sprintf("%03d.bin", s.written)
	size := s.random.IntN(300_000)
	if s.written%8 == 0 { // with checkpoints, and in parts
		size = 18<<20 + s.random.IntN(22<<20)
	}
	sshd := s.sshds[s.random.IntN(len(s.sshds))]
	sshd.Write(t, name+".part", sandbox.Random(size+s.written))
	require.NoError(t, os.Rename(sshd.Path(name+".part"), sshd.Path(name)))
}

// act writes a file or injects a fault, chosen at random, and waits for a random time.
func (s *chaosRun) act(t *testing.T) {
	names := []string{"acme", "globex", "postgres", "broker", "store", "temporal"}
	actions := []struct {
		name string
		do   func()
	}{
		{"write", func() { s.write(t) }},
		{"cut connections", func() { s.proxies[names[s.random.IntN(len(names))]].CutConnections(t) }},
		{"outage", func() {
			proxy := s.proxies[names[s.random.IntN(len(names))]]
			proxy.Cut()
			s.wait(t, 3000)
			proxy.Restore(t)
		}},
		{"kill", func() { s.workers[s.random.IntN(2)].Kill() }},
		{"kill for a minute", func() { // long enough for the other one to take over
			i := s.random.IntN(2)
			s.workers[i].Kill()
			s.deadUntil[i] = time.Now().Add(time.Minute)
		}},
		{"freeze", func() {
			p := s.workers[s.random.IntN(2)]
			p.Signal(syscall.SIGSTOP)
			s.wait(t, 3000)
			p.Signal(syscall.SIGCONT)
		}},
		{"kill sessions", func() { s.sshds[s.random.IntN(len(s.sshds))].KillSessions() }},
	}
	action := actions[s.random.IntN(len(actions))]
	action.do()
	s.actions[action.name]++
	s.wait(t, 2000)
}

// wait waits for up to the given number of milliseconds; the pauses are part of the load.
func (s *chaosRun) wait(t *testing.T, most int) {
	select {
	case <-time.After(time.Duration(s.random.IntN(most)) * time.Millisecond):
	case <-s.Context(t).Done():
	}
}

// injected counts the injected faults.
func (s *chaosRun) injected() (n int) {
	for name, times := range s.actions {
		if name != "write" && name != "retry" {
			n += times
		}
	}
	return n
}

// takenOver counts the files that were fetched again because their host was lost.
func (s *chaosRun) takenOver(t *testing.T) (n int) {
	for _, f := range s.Files(t) {
		if timesScheduled(t, s.Cluster, f.UUID, activities.NameDownload) > 1 {
			n++
		}
	}
	return n
}

// retry acts as the operator: it retries files that failed because their host was lost
// repeatedly. No other file may be in error.
func (s *chaosRun) retry(t *testing.T, f ingest.File) {
	require.Equal(t, ingest.KindStagingLost, f.ErrorKind, "%s: %s", f.RemotePath, f.ErrorMessage)
	if s.SendUpdate(t, f.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", Reason: "the faults have ended"}) == nil {
		s.actions["retry"]++
	}
}

// scan starts a scan like the schedule. It may fail; the next one follows.
func (s *chaosRun) scan(t *testing.T) {
	_, _ = s.Temporal.ExecuteWorkflow(s.Context(t), client.StartWorkflowOptions{
		ID: temporalnames.ScanWorkflowID(uuid.NewString()), TaskQueue: s.Queue,
	}, workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "schedule"})
}

// keepScanning scans like a schedule. The returned function waits until every file is
// completed and all orphans are removed, and returns the time taken.
func (s *chaosRun) keepScanning(t *testing.T) (wait func() time.Duration) {
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			s.scan(t)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() time.Duration {
		t.Helper()
		began := time.Now()
		s.deadUntil = [2]time.Time{}
		sandbox.Eventually(t, func() bool {
			s.restartWorkers(t)
			files := s.Files(t)
			all := len(files) == s.written
			for _, f := range files {
				if f.Status == ingest.StatusError {
					s.retry(t, f)
				}
				all = all && f.Status == ingest.StatusCompleted
			}
			return all
		}, 4*sandbox.Timeout, time.Second, "not every file is completed")
		took := time.Since(began)
		close(stop)
		<-ended
		for _, f := range s.Files(t) {
			s.AwaitIngest(t, f.UUID)
		}
		sandbox.Eventually(t, func() bool {
			s.restartWorkers(t)
			return s.Reconcile(t).HostsSilent == 0 && s.staged() == 0
		}, sandbox.Timeout, time.Second, "orphaned staged bytes remain")
		return took
	}
}

// staged returns the number of files in the workers' staging folders.
func (s *chaosRun) staged() (n int) {
	for _, dir := range append([]string{s.Cfg.Staging.Dir}, s.OtherStaging...) {
		left, _ := filepath.Glob(filepath.Join(dir, "files", "*"))
		n += len(left)
	}
	return n
}
