package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stevedore/temporal-dev/internal/packages"
	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

// copyOf creates a checkout with its own programs, so that commands do not affect the
// stack of the real one.
func copyOf(t *testing.T, repo string) string {
	t.Helper()
	dir := openDir(t)
	for _, sub := range []string{"bin", "temporal-dev"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"temporal", "minio"} {
		if err := os.Symlink(filepath.Join(repo, "bin", tool), filepath.Join(dir, "bin", tool)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "temporal-dev", "go.mod"), nil, 0o644), os.Symlink(filepath.Join(repo, "docs"), filepath.Join(dir, "docs"))); err != nil {
		t.Fatal(err)
	}
	for tool, from := range map[string][2]string{"devstack": {"temporal-dev", "."}, "stevedore": {"", "./cmd/stevedore"}} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", tool), from[1])
		build.Dir = filepath.Join(repo, from[0])
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", tool, err, out)
		}
	}
	return dir
}

// command is one command of the copy, without the settings of the caller.
func command(repo string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(repo, "bin", "devstack"), args...)
	cmd.Env = scrub(os.Environ())
	return cmd
}

// devstack runs one command of the copy and returns its output.
func devstack(t *testing.T, repo string, args ...string) string {
	t.Helper()
	return output(t, command(repo, args...))
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// TestCommands runs the commands on a complete stack with typical failures: a killed
// start, two concurrent commands, a killed part.
func TestCommands(t *testing.T) { // alone: two stacks that choose well-known ports concurrently choose the same
	repo := copyOf(t, checkout(t))
	dev := filepath.Join(repo, ".dev")
	t.Cleanup(func() { devstack(t, repo, "down") })

	up := command(repo, "up")
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	readPid(t, filepath.Join(dev, "pids", "epmd"))
	if err := up.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = up.Wait()
	if len(below(t, dev)) == 0 {
		t.Error("the killed start left no process: the test proves nothing")
	}
	devstack(t, repo, "down")
	requireNoProcesses(t, dev)

	var outs [2]string
	var wg sync.WaitGroup
	for i := range outs {
		wg.Go(func() { outs[i] = devstack(t, repo, "up") })
	}
	wg.Wait()
	if all := outs[0] + outs[1]; strings.Count(all, "already up") != 1 || strings.Count(all, "worker     up in") != 1 {
		t.Errorf("two concurrent commands were not serialized:\n%s\n%s", outs[0], outs[1])
	}
	s, err := Open(repo, dev, false, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.Get("STEVEDORE_API_URL") + "/readyz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the API is not ready: %v, %v", resp, err)
	}

	killProcess(t, dev, "worker")
	if out := devstack(t, repo, "up"); !strings.Contains(out, "worker     up in") || strings.Contains(out, "postgres   up in") {
		t.Errorf("up after the death of the worker:\n%s", out)
	}
	slow := command(repo, "up")
	slow.Env = append(slow.Env, "STEVEDORE_SETTLE=7s")
	if out := output(t, slow); !strings.Contains(out, "worker     up in") || !strings.Contains(out, "api        up in") || strings.Contains(out, "postgres   up in") {
		t.Errorf("up with another setting:\n%s", out)
	}
	if spec, err := s.Spec("api"); err != nil || value(spec.Env, "STEVEDORE_SETTLE") != "7s" {
		t.Errorf("the API runs with %v, %v", spec.Env, err)
	}

	inUse := filepath.Join(dev, "run-1")
	if err := os.Mkdir(inUse, 0o755); err != nil {
		t.Fatal(err)
	}
	owner, err := tryLock(filepath.Join(inUse, ownerFile))
	if err != nil {
		t.Fatal(err)
	}
	devstack(t, repo, "clean")
	requireNoProcesses(t, dev)
	if left, _ := filepath.Glob(filepath.Join(dev, "[^r]*")); len(left) != 1 || filepath.Base(left[0]) != "lock" {
		t.Errorf("clean has left %v", left)
	}
	if _, err := os.Stat(inUse); err != nil {
		t.Errorf("a private stack in use was removed: %v", err)
	}
	_ = owner.Close()
	devstack(t, repo, "clean")
	if _, err := os.Stat(dev); !os.IsNotExist(err) {
		t.Errorf("clean has left %s: %v", dev, err)
	}
}

// TestAFailedDemoStopsItsProcesses runs the demo with DEMO_EXIT=1. It runs alone,
// like TestCommands.
func TestAFailedDemoStopsItsProcesses(t *testing.T) {
	repo := copyOf(t, checkout(t))
	program := filepath.Join(repo, "bin", "stevedore")
	if err := errors.Join(os.Remove(program), os.WriteFile(program, []byte("#!/bin/sh\necho no set-up today >&2; exit 1\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { devstack(t, repo, "down") })
	demo := command(repo, "demo")
	demo.Env = append(demo.Env, "DEMO_EXIT=1")
	out, err := demo.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no set-up today") || !strings.Contains(string(out), "stopping postgres") {
		t.Errorf("%v\n%s", err, out)
	}
	requireNoProcesses(t, repo)
}

// TestLocksAreExclusive: a lock stays exclusive when its file is removed.
func TestLocksAreExclusive(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	name := filepath.Join(s.Dir, "lock")
	unlock, err := s.Lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(short); err == nil {
		t.Fatal("two processes hold the lock")
	}
	stale, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stale.Close() }()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := takeLock(stale, name); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a removed file counts as the lock: %v", err)
	}
	if unlock, err = s.Lock(context.Background()); err != nil {
		t.Fatal(err)
	}
	unlock()
	if locked(name) {
		t.Error("the lock is still held")
	}
}

// TestAnIncompleteClusterIsCreatedAgain: initdb was killed. The checkout is so deep that
// the path of a socket would be too long.
func TestAnIncompleteClusterIsCreatedAgain(t *testing.T) {
	t.Parallel()
	repo, dir := checkout(t), filepath.Join(openDir(t), strings.Repeat("deep/", 20))
	s, err := Open(repo, dir, true, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if s.programs, err = packages.Ensure(os.Stderr, false); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), s.choosePostgresDir()); err != nil {
		t.Fatal(err)
	}
	half := s.cluster() + ".new"
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	t.Cleanup(func() { _ = s.Down() })
	if started, err := s.start(ctx, s.postgres()); err != nil || !started {
		t.Fatalf("started %v, %v", started, err)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the incomplete cluster still exists: %v", err)
	}
}

// TestAPartNeedsItsOwnPort: a part is not up because another program answers on its
// port.
func TestAPartNeedsItsOwnPort(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	other, err := net.Listen("tcp", ports.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	port := other.Addr().(*net.TCPAddr).Port
	p := part{
		name: "a", ready: listening(port), ports: []int{port},
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{Path: "/bin/sleep", Args: []string{"600"}}, nil
		},
	}
	t.Cleanup(func() { _ = s.Down() })
	if _, err := s.start(context.Background(), p); err == nil || !strings.Contains(err.Error(), "listens on port "+strconv.Itoa(port)) {
		t.Fatalf("start: %v", err)
	}
	p.ports = nil
	p.prepare = func(context.Context) (proc.Spec, error) { return proc.Spec{Path: "/bin/false"}, nil }
	p.ready = func(context.Context) error {
		for s.Pid("a") != 0 {
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	}
	if _, err := s.start(context.Background(), p); !errors.Is(err, errEnded) {
		t.Errorf("start of a process that ends immediately: %v", err)
	}
}

// TestTheFirstFailureEndsTheStart: a worker is not ready without the API, whose port
// another program holds.
func TestTheFirstFailureEndsTheStart(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	t.Cleanup(func() { _ = s.Down() })
	other, err := net.Listen("tcp", ports.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	port := other.Addr().(*net.TCPAddr).Port
	waiting := make(chan struct{})
	worker := part{
		name: "worker",
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{Path: "/bin/sleep", Args: []string{"600"}}, nil
		},
		ready: func(ctx context.Context) error {
			close(waiting)
			<-ctx.Done()
			return ctx.Err()
		},
	}
	api := part{name: "api", ports: []int{port}}
	started, err := s.startAll(t.Context(), []part{worker, api})
	want := fmt.Sprintf("(pid %d) listens on port %d", os.Getpid(), port)
	if err == nil || !strings.HasPrefix(err.Error(), "api: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "worker") {
		t.Errorf("%v, want %q of the API only", err, want)
	}
	select {
	case <-waiting:
		if !started {
			t.Error("the started worker is not reported")
		}
	default: // the API failed before the start of the worker
	}
}

// TestAPortTakenDuringTheStart: the port is free when the part is launched, and another
// program takes it before the part listens.
func TestAPortTakenDuringTheStart(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	t.Cleanup(func() { _ = s.Down() })
	chosen, err := ports.Choose(0)
	if err != nil {
		t.Fatal(err)
	}
	var other net.Listener
	p := part{
		name: "a", ready: listening(chosen[0]), ports: chosen,
		prepare: func(context.Context) (_ proc.Spec, err error) {
			if other == nil {
				other, err = net.Listen("tcp", ports.Addr(chosen[0]))
			}
			return proc.Spec{Path: "/bin/sleep", Args: []string{"600"}}, err
		},
	}
	if err := s.launch(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if err := s.await(t.Context(), p); !errors.Is(err, errForeignPort) && s.PortOwner("a", chosen[0]) != proc.OwnerUnknown {
		t.Errorf("await: %v", err)
	}
}
