package stack

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/process"

	"stevedore/temporal-dev/internal/ports"
)

// checkout is the repository whose built tools the tests run.
func checkout(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real services: not under -short")
	}
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"temporal", "minio", "devstack"} {
		if _, err := os.Stat(filepath.Join(repo, "bin", tool)); err != nil {
			t.Fatalf("bin/%s is not built: run `make test`", tool)
		}
	}
	return repo
}

// openDir makes a folder that the postgres user can pass through.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "devstack-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// below returns the command lines of processes that name the folder.
func below(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := process.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		line, _ := p.Cmdline()
		if strings.Contains(line, dir) && int(p.Pid) != os.Getpid() {
			found = append(found, fmt.Sprint(p.Pid, " ", line))
		}
	}
	return found
}

func noneBelow(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(below(t, dir)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still running:\n%s", strings.Join(below(t, dir), "\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestUpRepairDown goes through a stack's life with every usual port taken.
func TestUpRepairDown(t *testing.T) {
	repo, dir := checkout(t), openDir(t)
	for _, port := range []int{5432, 5672, 7233, 8233, 9000} {
		if l, err := net.Listen("tcp", ports.Addr(port)); err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
	}
	ctx := context.Background()
	s, err := Open(repo, dir, false, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Down() })
	if started, err := s.Up(ctx, false); err != nil || !started {
		t.Fatalf("first up: started %v, %v", started, err)
	}
	for _, port := range []int{s.addr.Postgres, s.addr.AMQP, s.addr.Temporal, s.addr.UI, s.addr.API} {
		if slices.Contains([]int{5432, 5672, 7233, 8233, 9000}, port) {
			t.Errorf("a taken port was chosen: %d", port)
		}
	}
	onlyLoopback(t, s)

	again, err := Open(repo, dir, false, os.Stderr) // as another process would
	if err != nil {
		t.Fatal(err)
	}
	if started, err := again.Up(ctx, false); err != nil || started {
		t.Fatalf("second up: started %v, %v", started, err)
	}

	minio, postgres := s.Pid("minio"), s.Pid("postgres")
	if err := syscall.Kill(minio, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if started, err := again.Up(ctx, false); err != nil || !started {
		t.Fatalf("up after a death: started %v, %v", started, err)
	}
	if again.Pid("minio") == minio || again.Pid("minio") == 0 || again.Pid("postgres") != postgres {
		t.Error("not just what had died was started again")
	}
	if fmt.Sprint(again.Env()) != fmt.Sprint(s.Env()) {
		t.Error("addresses changed")
	}
	if err := again.Down(); err != nil {
		t.Fatal(err)
	}
	noneBelow(t, dir)
}

// onlyLoopback checks that none of the stack's processes listens elsewhere.
func onlyLoopback(t *testing.T, s *Stack) {
	t.Helper()
	pids := map[int32]bool{}
	for _, name := range s.Names() {
		p, err := process.NewProcess(int32(s.Pid(name)))
		if err != nil {
			t.Fatal(err)
		}
		pids[p.Pid] = true
		children, _ := p.Children()
		for _, c := range children {
			pids[c.Pid] = true
		}
	}
	for pid := range pids {
		p, err := process.NewProcess(pid)
		if err != nil {
			continue
		}
		connections, _ := p.Connections()
		for _, c := range connections {
			if ip := net.ParseIP(c.Laddr.IP); c.Status == "LISTEN" && (ip == nil || !ip.IsLoopback()) {
				name, _ := p.Name()
				t.Errorf("%s listens on %s:%d", name, c.Laddr.IP, c.Laddr.Port)
			}
		}
	}
}

// TestRunLeavesNothingBehind also kills the runner, which then cannot clean up.
func TestRunLeavesNothingBehind(t *testing.T) {
	repo := checkout(t)
	marker := filepath.Join(t.TempDir(), "marker")
	run := exec.Command(filepath.Join(repo, "bin", "devstack"), "run", "--", "sh", "-c",
		`echo "$STEVEDORE_STAGING_DIR" > `+marker+`.tmp; mv `+marker+`.tmp `+marker+`; sleep 600`)
	run.Stderr = os.Stderr
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	var staging string
	deadline := time.Now().Add(startTimeout)
	for staging == "" {
		text, _ := os.ReadFile(marker)
		staging = strings.TrimSpace(string(text))
		if time.Now().After(deadline) {
			t.Fatal("the command was not run")
		}
		time.Sleep(100 * time.Millisecond)
	}
	dir := filepath.Dir(staging)
	if len(below(t, dir)) == 0 {
		t.Fatal("no process of the stack was found: the test looks in the wrong place")
	}
	// The runner and the command it runs; nothing gets a chance to tidy up.
	if err := syscall.Kill(-run.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	deadline = time.Now().Add(time.Minute)
	for {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there, with %v", dir, below(t, dir))
		}
		time.Sleep(100 * time.Millisecond)
	}
	noneBelow(t, dir)
}

// TestRunPassesTheExitCodeOn, and the environment.
func TestRunPassesTheExitCodeOn(t *testing.T) {
	repo := checkout(t)
	run := exec.Command(filepath.Join(repo, "bin", "devstack"), "run", "--", "sh", "-c",
		`case "$STEVEDORE_DATABASE_URL" in postgres://*) exit 7;; esac; exit 1`)
	out, err := run.CombinedOutput()
	if code := run.ProcessState.ExitCode(); code != 7 {
		t.Fatalf("exit code %s, want 7 (%v):\n%s", strconv.Itoa(code), err, out)
	}
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	if got := withoutPassword("postgres://u:canary@h:1/d"); strings.Contains(got, "canary") {
		t.Error(got)
	}
}
