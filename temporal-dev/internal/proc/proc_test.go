package proc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sleeper(name string) Spec {
	return Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", "echo hello; sleep 600"}, Grace: time.Second}
}

func start(t *testing.T, m Manager, s Spec) int {
	t.Helper()
	if err := m.Start(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop(s.Name) })
	pid := m.Pid(s.Name)
	if pid == 0 {
		t.Fatalf("%s does not run", s.Name)
	}
	return pid
}

func gone(pid int) bool {
	return waitUntil(5*time.Second, func() bool { return syscall.Kill(pid, 0) != nil })
}

func TestStartWritesTheBarePidAndTheLog(t *testing.T) {
	t.Parallel()
	m := Manager{Dir: t.TempDir()}
	pid := start(t, m, sleeper("a"))
	text, err := os.ReadFile(filepath.Join(m.Dir, "pids", "a"))
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(pid) {
		t.Errorf("pid file says %q (%v), the pid is %d", text, err, pid)
	}
	if !waitUntil(5*time.Second, func() bool { return m.Tail("a", 1) == "hello" }) {
		t.Errorf("log ends with %q", m.Tail("a", 1))
	}
}

func TestStopEndsTheProcessAndWhatItStarted(t *testing.T) {
	t.Parallel()
	m := Manager{Dir: t.TempDir()}
	child := filepath.Join(m.Dir, "child")
	s := sleeper("a")
	s.Args = []string{"-c", "trap '' TERM; sleep 600 & echo $! > " + child + "; wait; sleep 600"}
	pid := start(t, m, s)
	var childPid int
	if !waitUntil(5*time.Second, func() bool {
		text, _ := os.ReadFile(child)
		childPid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return childPid > 0
	}) {
		t.Fatal("no child was started")
	}
	if err := m.Stop("a"); err != nil {
		t.Fatal(err)
	}
	if !gone(pid) || !gone(childPid) {
		t.Errorf("pid %d or its child %d is still there", pid, childPid)
	}
}

// TestARecycledPidIsLeftAlone: killing by a pid file alone would sooner or
// later hit somebody else's process.
func TestARecycledPidIsLeftAlone(t *testing.T) {
	t.Parallel()
	m := Manager{Dir: t.TempDir()}
	stranger := start(t, m, sleeper("stranger"))
	text, err := json.Marshal(saved{Spec: sleeper("ours"), Pid: stranger, Started: creation(stranger) - 12345})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("state", "ours.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if m.Pid("ours") != 0 {
		t.Error("another process is taken for ours")
	}
	if err := m.Stop("ours"); err != nil {
		t.Fatal(err)
	}
	if m.Pid("stranger") != stranger {
		t.Error("the stranger was killed")
	}
}

func TestStopOfWhatNeverRanIsNoError(t *testing.T) {
	t.Parallel()
	if err := (Manager{Dir: t.TempDir()}).Stop("nothing"); err != nil {
		t.Error(err)
	}
}
