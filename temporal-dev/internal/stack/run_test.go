package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// appears waits for a file and returns its content.
func appears(t *testing.T, name string) string {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for {
		if text, err := os.ReadFile(name); err == nil && strings.HasSuffix(string(text), "\n") {
			return strings.TrimSpace(string(text))
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s", name)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func readPid(t *testing.T, name string) int {
	t.Helper()
	pid, err := strconv.Atoi(appears(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func ends(t *testing.T, what string, pid int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for syscall.Kill(pid, 0) == nil {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(text), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s (pid %d) still runs", what, pid)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestRunLeavesNothingBehind kills the runner: the stack and the command must end
// nevertheless.
func TestRunLeavesNothingBehind(t *testing.T) {
	repo, at := checkout(t), t.TempDir()
	in := func(name string) string { return filepath.Join(at, name) }
	run := exec.Command(filepath.Join(repo, "bin", "devstack"), "run", "--", "sh", "-c",
		"sleep 600 & echo $! > "+in("child")+"; setsid sleep 600 & echo $! > "+in("away")+
			"; echo $$ > "+in("command")+`; echo "$STEVEDORE_STAGING_DIR" > `+in("staging")+"; trap : TERM; while :; do sleep 1; done")
	run.Stderr = os.Stderr
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Process.Kill() })
	dir := filepath.Dir(appears(t, in("staging")))
	if len(below(t, dir)) < 6 {
		t.Fatalf("the test looks in the wrong place: %v", below(t, dir))
	}
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	for _, name := range []string{"command", "child", "away"} {
		ends(t, name, readPid(t, in(name)))
	}
	deadline := time.Now().Add(time.Minute)
	for {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still exists, with %v", dir, below(t, dir))
		}
		time.Sleep(100 * time.Millisecond)
	}
	requireNoProcesses(t, dir)
}

// TestRunPassesTheExitCodeOn also checks that the environment is passed on.
func TestRunPassesTheExitCodeOn(t *testing.T) {
	repo := checkout(t)
	run := exec.Command(filepath.Join(repo, "bin", "devstack"), "run", "--", "sh", "-c",
		`case "$STEVEDORE_DATABASE_URL" in postgres://*) exit 7;; esac; exit 1`)
	out, err := run.CombinedOutput()
	if code := run.ProcessState.ExitCode(); code != 7 {
		t.Fatalf("exit code %s, want 7 (%v):\n%s", strconv.Itoa(code), err, out)
	}
}

// bareStack is a stack without started services. A command needs no more.
func bareStack(t *testing.T) *Stack {
	t.Helper()
	s, err := Open(t.TempDir(), t.TempDir(), true, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAnInterruptEndsAllOfTheCommand: the interrupt ends the process group, not only the
// named program.
func TestAnInterruptEndsAllOfTheCommand(t *testing.T) {
	t.Parallel()
	for name, stubborn := range map[string]string{"willing": "", "stubborn": "trap '' TERM; "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bareStack(t)
			in := func(name string) string { return filepath.Join(s.Dir, name) }
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan int, 1)
			go func() {
				code, _ := s.runCommand(ctx, []string{"sh", "-c", stubborn + "sleep 600 & echo $! > " + in("child") + "; echo $$ > " + in("sh") + "; sleep 600; sleep 600"})
				ended <- code
			}()
			sh, child := readPid(t, in("sh")), readPid(t, in("child"))
			cancel()
			if code := <-ended; code == 0 {
				t.Error("the exit code is 0")
			}
			ends(t, "the command", sh)
			ends(t, "its child", child)
		})
	}
}

// TestChildrenOfACommandAreEnded: the stack that they use is removed.
func TestChildrenOfACommandAreEnded(t *testing.T) {
	t.Parallel()
	s := bareStack(t)
	child := filepath.Join(s.Dir, "child")
	code, err := s.runCommand(context.Background(), []string{"sh", "-c", "sleep 600 & echo $! > " + child + "; exit 4"})
	if code != 4 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	ends(t, "its child", readPid(t, child))
}

// TestTheCommandHasTheTerminal runs itself on a pseudo-terminal: only the command
// receives Ctrl-C, and it chooses its exit code.
func TestTheCommandHasTheTerminal(t *testing.T) {
	if dir := os.Getenv("STEVEDORE_TEST_TERMINAL"); dir != "" {
		onTerminal(t, dir)
		return
	}
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Fatalf("install script(1), which makes pseudo-terminals: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	on := exec.Command(script, "-qec", self+" -test.run '^TestTheCommandHasTheTerminal$'", "/dev/null")
	on.Env = append(os.Environ(), "STEVEDORE_TEST_TERMINAL="+dir)
	keys, err := on.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	on.Stdout, on.Stderr = &out, &out
	if err := on.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = on.Process.Kill() }) // the other side of the terminal hangs up
	appears(t, filepath.Join(dir, "ready"))
	if _, err := io.WriteString(keys, "typed\n"); err != nil {
		t.Fatal(err)
	}
	if got := appears(t, filepath.Join(dir, "read")); got != "typed" {
		t.Errorf("the command read %q", got)
	}
	if _, err := io.WriteString(keys, "\x03"); err != nil {
		t.Fatal(err)
	}
	got := appears(t, filepath.Join(dir, "code"))
	_ = keys.Close()
	if err := on.Wait(); err != nil || got != "9" {
		t.Errorf("exit code %s, want 9 (%v):\n%s", got, err, out.String())
	}
}

// onTerminal is the part of the test that runs on the terminal.
func onTerminal(t *testing.T, dir string) {
	s, err := Open(dir, dir, true, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	tty := ownTerminal()
	if tty == nil {
		t.Fatal("there is no terminal")
	}
	code, err := s.runCommand(context.Background(), []string{"sh", "-c", "cd " + dir + `
trap 'exit 9' INT
echo >ready
read line && echo "$line" >half && mv half read
while :; do sleep 1; done`})
	if err != nil {
		t.Fatal(err)
	}
	if ownTerminal() == nil {
		t.Error("the terminal was not returned to the shell")
	}
	if err := os.WriteFile(filepath.Join(dir, "code"), []byte(strconv.Itoa(code)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheCommandsEnvironmentIsScrubbed(t *testing.T) {
	t.Parallel()
	got := scrub([]string{
		"PATH=/bin", "HOME=/home/me", "GOFLAGS=-x", "PGHOST=elsewhere", "TEMPORAL_TLS=true", "STEVEDORE_TOKEN=canary", "AWS_PROFILE=me",
		"STEVEDORE_TEST_ROWS=5", "STEVEDORE_CHAOS=1", "STEVEDORE_TEST_CHAOS=1", "DEVSTACK_DIR=/elsewhere",
	})
	want := []string{
		"PATH=/bin", "HOME=/home/me", "GOFLAGS=-x",
		"STEVEDORE_TEST_ROWS=5", "STEVEDORE_TEST_CHAOS=1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("left: %v", got)
	}
}
