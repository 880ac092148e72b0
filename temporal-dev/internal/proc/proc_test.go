package proc

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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
	return waitUntil(time.Minute, func() bool { return syscall.Kill(pid, 0) != nil })
}

func TestStartWritesTheBarePidAndTheLog(t *testing.T) {
	t.Parallel()
	m := Manager{Dir: t.TempDir()}
	pid := start(t, m, sleeper("a"))
	text, err := os.ReadFile(filepath.Join(m.Dir, "pids", "a"))
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(pid) {
		t.Errorf("pid file contains %q (%v), the pid is %d", text, err, pid)
	}
	if !waitUntil(30*time.Second, func() bool { return m.Tail("a", 1) == "hello" }) {
		t.Errorf("log ends with %q", m.Tail("a", 1))
	}
}

// number waits for a file that contains a pid.
func number(t *testing.T, file string) (pid int) {
	t.Helper()
	if !waitUntil(30*time.Second, func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0 && strings.HasSuffix(string(text), "\n")
	}) {
		t.Fatalf("no pid in %s", file)
	}
	return pid
}

// parent starts a child, writes its pid to the file "child" and waits.
func parent(m Manager, child string) Spec {
	s := sleeper("a")
	s.Args, s.Dir = []string{"-c", "trap : TERM; " + child + " & echo $! > " + filepath.Join(m.Dir, "child") + "; wait; sleep 600"}, m.Dir
	return s
}

// remember records a process that was started in another way.
func remember(t *testing.T, m Manager, s saved) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("state", s.Name+".json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStopEndsTheProcessAndItsChildren(t *testing.T) {
	t.Parallel()
	m := Manager{Dir: t.TempDir()}
	pid := start(t, m, parent(m, "sleep 600"))
	child := number(t, filepath.Join(m.Dir, "child"))
	if err := m.Stop("a"); err != nil {
		t.Fatal(err)
	}
	if !gone(pid) || !gone(child) {
		t.Errorf("pid %d or its child %d still runs", pid, child)
	}
}

// TestChildrenOfAKilledProcessAreEnded: they hold its ports and files.
func TestChildrenOfAKilledProcessAreEnded(t *testing.T) {
	t.Parallel()
	children := map[string]string{
		"plain":                    "sleep 600",
		"without its environment":  "env -i sleep 600",
		"that does not want to go": "sh -c 'trap : TERM; while :; do sleep 1; done'",
	}
	for name, child := range children {
		for then, do := range map[string]func(Manager) error{
			"stop":  func(m Manager) error { return m.Stop("a") },
			"start": func(m Manager) error { return m.Start(sleeper("a")) },
		} {
			t.Run(name+"/"+then, func(t *testing.T) {
				t.Parallel()
				m := Manager{Dir: t.TempDir()}
				pid := start(t, m, parent(m, child))
				left := number(t, filepath.Join(m.Dir, "child"))
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil || !gone(pid) {
					t.Fatalf("kill: %v", err)
				}
				if syscall.Kill(left, 0) != nil {
					t.Fatal("the child ended with its parent: the test proves nothing")
				}
				if err := do(m); err != nil {
					t.Fatal(err)
				}
				if !gone(left) {
					t.Errorf("the child %d still runs", left)
				}
			})
		}
	}
}

// TestAForeignGroupIsNotKilled: after the group of a process has ended, its number may be
// reused by a group whose leader has ended as well.
func TestAForeignGroupIsNotKilled(t *testing.T) {
	t.Parallel()
	ours, theirs := Manager{Dir: t.TempDir()}, Manager{Dir: t.TempDir()}
	pid := start(t, theirs, parent(theirs, "sleep 600"))
	began := readStat(pid).started
	child := number(t, filepath.Join(theirs.Dir, "child"))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil || !gone(pid) {
		t.Fatalf("kill: %v", err)
	}
	if err := ours.makeDirs(); err != nil {
		t.Fatal(err)
	}
	remember(t, ours, saved{Spec: sleeper("a"), Pid: pid, Started: began - 100, Boot: boot()})
	if err := ours.Stop("a"); err != nil {
		t.Fatal(err)
	}
	if readStat(child).ended() {
		t.Error("the child of a foreign process was killed")
	}
	if err := theirs.Stop("a"); err != nil || !gone(child) {
		t.Errorf("its owner cannot end it: %v", err)
	}
}

// TestStraysAreEnded: strays are processes that left their group, or whose pid was not
// recorded.
func TestStraysAreEnded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("other processes' environments are not visible")
	}
	m, other := Manager{Dir: t.TempDir()}, Manager{Dir: t.TempDir()}
	start(t, m, parent(m, "setsid sh -c 'echo $$ > away; exec sleep 600'"))
	away := number(t, filepath.Join(m.Dir, "away"))
	unnoted := exec.Command("sleep", "600")
	unnoted.Env = append(m.Environ(), nameVariable+"b")
	unnoted.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := unnoted.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = unnoted.Wait() }()
	stranger := start(t, other, sleeper("b"))

	start(t, m, sleeper("b"))
	if !gone(unnoted.Process.Pid) {
		t.Error("start: an earlier process of the name still runs")
	}
	if err := m.Stop("a"); err != nil || readStat(away).ended() {
		t.Fatalf("the detached process has already ended (%v): the test proves nothing", err)
	}
	if err := m.EndStrays(); err != nil || !gone(away) {
		t.Errorf("the detached process still runs: %v", err)
	}
	if other.Pid("b") != stranger {
		t.Error("another folder's process was ended")
	}
}

// TestTheCallersEnvironmentIsNotInherited.
func TestTheCallersEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("PGHOST", "elsewhere.example")
	t.Setenv("AWS_ACCESS_KEY_ID", "canary")
	m := Manager{Dir: t.TempDir()}
	s := sleeper("a")
	s.Args, s.Env = []string{"-c", "env; echo end; sleep 600"}, []string{"OWN=1"}
	start(t, m, s)
	if !waitUntil(30*time.Second, func() bool { return m.Tail("a", 1) == "end" }) {
		t.Fatal("no output")
	}
	var names []string
	for _, line := range strings.Split(m.Tail("a", 100), "\n") {
		if name, _, ok := strings.Cut(line, "="); ok && !slices.Contains([]string{"PWD", "SHLVL", "_", "OLDPWD"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if want := []string{"DEVSTACK_DIR", "DEVSTACK_NAME", "HOME", "LANG", "OWN", "PATH"}; !slices.Equal(names, want) {
		t.Errorf("the process has %v, want %v", names, want)
	}
}

// TestAReusedPidIsNotKilled: killing by the pid in a file alone would eventually hit
// another process.
func TestAReusedPidIsNotKilled(t *testing.T) {
	t.Parallel()
	m := Manager{Dir: t.TempDir()}
	stranger := start(t, m, sleeper("stranger"))
	for name, s := range map[string]saved{
		"started later":  {Pid: stranger, Started: readStat(stranger).started - 12345, Boot: boot()},
		"another boot's": {Pid: stranger, Started: readStat(stranger).started, Boot: "another"},
		"never noted":    {Pid: stranger, Boot: boot()},
	} {
		s.Spec = sleeper("ours")
		remember(t, m, s)
		if m.Pid("ours") != 0 {
			t.Errorf("%s: another process is taken for ours", name)
		}
		if err := m.Stop("ours"); err != nil {
			t.Fatal(err)
		}
	}
	if m.Pid("stranger") != stranger {
		t.Error("a foreign process was killed")
	}
}

func TestStopOfAProcessThatNeverRanIsNoError(t *testing.T) {
	t.Parallel()
	if err := (Manager{Dir: t.TempDir()}).Stop("nothing"); err != nil {
		t.Error(err)
	}
}
