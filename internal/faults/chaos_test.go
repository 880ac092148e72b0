package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/rig"
	"stevedore/internal/testenv"
	"stevedore/workflows"
)

// storm is a world in which everything breaks now and then.
type storm struct {
	*rig.Harbour
	random  *rand.Rand
	lines   map[string]*rig.Line
	sshds   []*testenv.SSHD
	env     []string
	workers [2]*rig.Process
	own     [2]string // each worker's staging
	written int
	deeds   map[string]int
}

// TestFault63_Chaos breaks parts at random while files come in, and expects
// everything to arrive exactly once when the storm is over.
func TestFault63_Chaos(t *testing.T) {
	t.Parallel()
	lasts := 30 * time.Second
	if os.Getenv("STEVEDORE_CHAOS") != "" {
		lasts = 5 * time.Minute
	}
	s := newStorm(t)
	s.Allow(lasts + 7*rig.Patience)
	over := time.Now().Add(lasts)
	scans := s.keepScanning()
	for time.Now().Before(over) {
		s.strike()
		s.raiseTheDead()
	}
	t.Logf("in %s: %v; %d files", lasts, s.deeds, s.written)
	scans()
	s.RequireExactlyOnce()
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{Harbour: rig.NewHarbour(t), random: seeded(t), lines: map[string]*rig.Line{}, deeds: map[string]int{}}
	for _, name := range []string{"acme", "globex"} {
		s.sshds = append(s.sshds, s.AddServer(name, func(v *ingest.Server) {
			line := rig.NewLine(t, v.Host, v.Port)
			s.lines[name], v.Port = line, line.Port
		}))
	}
	address := func(part, hostport string) string {
		host, port := split(t, hostport)
		s.lines[part] = rig.NewLine(t, host, port)
		return s.lines[part].Address()
	}
	through := func(part, variable, from string) {
		u, err := url.Parse(from)
		require.NoError(t, err)
		u.Host = address(part, u.Host)
		s.env = append(s.env, variable+"="+u.String())
	}
	through("postgres", "STEVEDORE_DATABASE_URL", s.Cfg.Database.URL.Reveal())
	through("broker", "STEVEDORE_AMQP_URL", s.Cfg.AMQP.URL.Reveal())
	s.env = append(s.env, "STEVEDORE_S3_ENDPOINT="+address("store", s.Cfg.S3.Endpoint), "STEVEDORE_WORKER_HOST_TIMEOUT=1h")
	line, variable := temporalLine(t)
	s.lines["temporal"] = line
	s.env = append(s.env, variable)
	s.own[0] = "STEVEDORE_STAGING_DIR=" + s.Cfg.Staging.Dir
	s.own[1], _ = staging(s.Harbour)
	s.raiseTheDead()
	for range 20 {
		s.write()
	}
	return s
}

// raiseTheDead is the process manager.
func (s *storm) raiseTheDead() {
	for i, p := range s.workers {
		if p == nil || !p.Running() {
			s.workers[i] = s.StartProcess(rig.ProcessOptions{Env: append([]string{s.own[i]}, s.env...)})
		}
	}
}

// write puts another file on some server, under a temporary name first.
func (s *storm) write() {
	s.written++
	name := fmt.Sprintf("%03d.bin", s.written)
	size := s.random.IntN(300_000)
	if s.written%10 == 0 {
		size = 8 << 20
	}
	sshd := s.sshds[s.random.IntN(len(s.sshds))]
	sshd.Write(name+".part", rig.Random(size+s.written))
	require.NoError(s.T, os.Rename(sshd.Path(name+".part"), sshd.Path(name)))
}

// strike does one bad thing, or a good one, and waits for a random while.
func (s *storm) strike() {
	names := []string{"acme", "globex", "postgres", "broker", "store", "temporal"}
	deeds := []struct {
		name string
		do   func()
	}{
		{"write", s.write},
		{"blink", func() { s.lines[names[s.random.IntN(len(names))]].Blink() }},
		{"outage", func() {
			line := s.lines[names[s.random.IntN(len(names))]]
			line.Cut()
			s.wait(3000)
			line.Restore()
		}},
		{"kill", func() { s.workers[s.random.IntN(2)].Kill() }},
		{"freeze", func() {
			p := s.workers[s.random.IntN(2)]
			p.Signal(syscall.SIGSTOP)
			s.wait(3000)
			p.Signal(syscall.SIGCONT)
		}},
		{"kill sessions", func() { s.sshds[s.random.IntN(len(s.sshds))].KillSessions() }},
	}
	deed := deeds[s.random.IntN(len(deeds))]
	deed.do()
	s.deeds[deed.name]++
	s.wait(2000)
}

// wait lets up to so many milliseconds pass: a storm takes its time.
func (s *storm) wait(most int) {
	select {
	case <-time.After(time.Duration(s.random.IntN(most)) * time.Millisecond):
	case <-s.Ctx.Done():
	}
}

// scan is the schedule's action. In a storm it may fail; the next one comes.
func (s *storm) scan() {
	_, _ = s.Temporal.ExecuteWorkflow(s.Ctx, client.StartWorkflowOptions{
		ID: ingest.ScanWorkflowID(uuid.NewString()), TaskQueue: s.Queue,
	}, workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "schedule"})
}

// keepScanning scans as a schedule would. The function it returns waits until
// every file is completed and every trace of the storm has been swept.
func (s *storm) keepScanning() (wait func()) {
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			s.scan()
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		s.T.Helper()
		began := time.Now()
		rig.Eventually(s.T, func() bool {
			s.raiseTheDead()
			files := s.Files()
			for _, f := range files {
				if f.Status != ingest.StatusCompleted {
					return false
				}
			}
			return len(files) == s.written
		}, 4*rig.Patience, time.Second, "not everything arrives")
		close(stop)
		<-ended
		for _, f := range s.Files() {
			s.AwaitIngest(f.UUID)
		}
		s.Reconcile()
		s.T.Logf("all was well %s after the storm", time.Since(began).Round(time.Second))
	}
}
