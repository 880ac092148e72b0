package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/config"
	"stevedore/internal/orchestrator"
	"stevedore/worker"
)

// Variables that configure a worker process.
const (
	queueVariable = "STEVEDORE_TEST_QUEUE"
	crashVariable = "STEVEDORE_TEST_CRASH"
)

// Main is the TestMain of packages that start worker processes. A test binary started
// with a queue runs a worker; otherwise it runs the tests.
func Main(m *testing.M) {
	if queue := os.Getenv(queueVariable); queue != "" {
		os.Exit(runWorker(queue, os.Getenv(crashVariable)))
	}
	os.Exit(m.Run())
}

// runWorker is `stevedore worker` with another queue and a crash point.
func runWorker(queue, crash string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	dumpGoroutines()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := work(ctx, log, worker.Options{TaskQueue: queue, Wrap: crashAt(crash)}); err != nil {
		log.Error("the worker failed", "error", err)
		return 1
	}
	return 0
}

func work(ctx context.Context, log *slog.Logger, options worker.Options) error {
	cfg, err := config.Load(config.Options{Environ: os.Environ()})
	if err != nil {
		return err
	}
	temporal, err := dial(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer temporal.Close()
	return worker.RunWith(ctx, cfg, temporal, log, options)
}

// dial retries, because the first response of an overloaded server may take longer than a
// worker waits. In production a service manager restarts the worker.
func dial(ctx context.Context, cfg config.Config, log *slog.Logger) (temporal client.Client, err error) {
	for deadline := time.Now().Add(Timeout); time.Now().Before(deadline) && ctx.Err() == nil; {
		if temporal, err = orchestrator.Dial(ctx, cfg, log, nil); err == nil {
			break
		}
		log.Warn("cannot connect to Temporal yet", "error", err)
	}
	return temporal, err
}

// ProcessOptions configures a worker process.
type ProcessOptions struct {
	// Crash is the crash point at which it kills itself, see crashAt. Default: none.
	Crash string
	// Env holds further variables; they take precedence over the sandbox's.
	Env []string
}

// Process is a worker in a process of its own.
type Process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	// goroutines is the file of dumpGoroutines.
	goroutines string
}

// StartProcess starts a worker process. It is killed when the test ends.
func (h *Cluster) StartProcess(t testing.TB, o ProcessOptions) *Process {
	t.Helper()
	p := &Process{log: filepath.Join(t.TempDir(), "worker-"+uuid.NewString()+".log"), ended: make(chan struct{})}
	p.goroutines = goroutinesFile(t)
	log, err := os.Create(p.log)
	require.NoError(t, err)
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(append(foreign(), h.Env...), queueVariable+"="+h.Queue, crashVariable+"="+o.Crash, goroutinesVariable+"="+p.goroutines)
	p.cmd.Env = asWorkerEnv(t, append(p.cmd.Env, o.Env...))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	require.NoError(t, p.cmd.Start())
	require.NoError(t, log.Close())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	h.processes = append(h.processes, p)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("worker process %d:\n%s", p.cmd.Process.Pid, p.tail())
		}
	})
	return p
}

// foreign returns the environment without stevedore's variables, which refer to the
// test stack and not to the resources of this test.
func foreign() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STEVEDORE_") })
}

// Signal sends a signal. A process that has ended is not an error.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill sends SIGKILL and waits for the end of the process.
func (p *Process) Kill() {
	p.Signal(syscall.SIGCONT)
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Terminate sends SIGTERM, waits for the end of the process and returns the time taken.
func (p *Process) Terminate(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	p.AwaitEnd(t)
	require.True(t, p.cmd.ProcessState.Success(), "the worker ended with %s", p.cmd.ProcessState)
	return time.Since(began)
}

// tail returns the end of the process's log.
func (p *Process) tail() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-2000):])
}

// AwaitEnd waits until the process has ended.
func (p *Process) AwaitEnd(t testing.TB) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Timeout):
		t.Fatalf("the worker process does not end; its log:\n%s", p.tail())
	}
}

// RequireCrashed waits until the process has killed itself at its crash point.
func (p *Process) RequireCrashed(t testing.TB) {
	t.Helper()
	p.AwaitEnd(t)
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signaled() && status.Signal() == syscall.SIGKILL,
		"%s", fmt.Sprintf("the worker ended with %s instead of a crash", p.cmd.ProcessState))
}

// Running reports whether the process is running.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// PeakMemory returns the peak resident memory of the process in bytes.
func (p *Process) PeakMemory(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatal("no VmHWM in /proc/PID/status")
	return 0
}

// Log returns the output of the process.
func (p *Process) Log(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(p.log)
	require.NoError(t, err)
	return text
}
