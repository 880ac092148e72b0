// Package proc starts ordinary background processes and finds them again by
// their files: DIR/pids/NAME holds the bare pid, DIR/logs/NAME.log the output
// and DIR/state/NAME.json how it was started and when. No supervisor is needed,
// and none that dies can orphan anything.
package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v3/process"
)

// Spec is how a process is started.
type Spec struct {
	Name string   `json:"name"`
	Path string   `json:"path"`
	Args []string `json:"args"`
	// Env is added to a minimal environment (PATH, HOME, LANG).
	Env []string `json:"env,omitempty"`
	Dir string   `json:"dir,omitempty"`
	// UID and GID run it as another user; 0 means as the caller.
	UID uint32 `json:"uid,omitempty"`
	GID uint32 `json:"gid,omitempty"`
	// StopSignal asks it to end; default SIGTERM. Grace is how long it may take
	// before it is killed; default 15 s.
	StopSignal syscall.Signal `json:"stop_signal,omitempty"`
	Grace      time.Duration  `json:"grace,omitempty"`
	// Extra marks a process that is not one of the stack's own parts and is
	// started again by its saved spec.
	Extra bool `json:"extra,omitempty"`
}

// saved is a Spec and the process that came of it.
type saved struct {
	Spec
	Pid int `json:"pid"`
	// Started is the process's creation time in Unix milliseconds. A pid is
	// recycled, pid and creation time together are not.
	Started int64 `json:"started"`
}

// Manager manages the processes of one folder.
type Manager struct {
	// Dir is the absolute folder, usually .dev.
	Dir string
}

func (m Manager) path(elem ...string) string {
	return filepath.Join(append([]string{m.Dir}, elem...)...)
}

// Log is where the process writes.
func (m Manager) Log(name string) string { return m.path("logs", name+".log") }

// Start starts the process in a session of its own, so that it outlives the
// caller and its terminal. The pid is on disk before Start returns.
func (m Manager) Start(s Spec) error {
	for _, dir := range []string{"pids", "logs", "state"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(m.Log(s.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Env, cmd.Dir = append(Environ(), s.Env...), s.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.UID, Gid: s.GID}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	go func() { _ = cmd.Wait() }() // no zombie while we live; init takes over afterwards
	return m.save(s, cmd.Process.Pid)
}

func (m Manager) save(s Spec, pid int) error {
	if err := os.WriteFile(m.path("pids", s.Name), []byte(strconv.Itoa(pid)+"\n"), 0o644); err != nil {
		return err
	}
	text, err := json.Marshal(saved{Spec: s, Pid: pid, Started: creation(pid)})
	if err != nil {
		return err
	}
	return os.WriteFile(m.path("state", s.Name+".json"), text, 0o600) // the environment holds passwords
}

// creation returns when the process was created, or 0 when there is none.
func creation(pid int) int64 {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return 0
	}
	at, err := p.CreateTime()
	if err != nil {
		return 0
	}
	return at
}

func (m Manager) load(name string) (saved, error) {
	var s saved
	text, err := os.ReadFile(m.path("state", name+".json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// Spec returns how the process was last started.
func (m Manager) Spec(name string) (Spec, error) {
	s, err := m.load(name)
	return s.Spec, err
}

// Pid returns the process's pid, or 0 when it does not run. A recycled pid
// that belongs to another process by now is not taken for it.
func (m Manager) Pid(name string) int {
	s, err := m.load(name)
	if err != nil || s.Pid == 0 || !alive(s) {
		return 0
	}
	return s.Pid
}

func alive(s saved) bool {
	if s.Started == 0 || !sameTime(creation(s.Pid), s.Started) {
		return false
	}
	p, err := process.NewProcess(int32(s.Pid))
	if err != nil {
		return false
	}
	status, err := p.Status()
	return err == nil && !slices.Contains(status, process.Zombie)
}

// sameTime allows for the clock: a creation time is counted from the time of
// boot, which the kernel derives from the wall clock and rounds to a second.
func sameTime(a, b int64) bool { return max(a-b, b-a) <= 2000 }

// Names returns the processes the folder knows, in order.
func (m Manager) Names() []string {
	files, _ := filepath.Glob(m.path("state", "*.json"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.Sort(names)
	return names
}

// Stop ends the process and what it has started, and forgets its pid. One that
// does not run is no error.
func (m Manager) Stop(name string) error {
	s, err := m.load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Started != 0 && alive(s) {
		signal, grace := s.StopSignal, s.Grace
		if signal == 0 {
			signal = syscall.SIGTERM
		}
		if grace == 0 {
			grace = 15 * time.Second
		}
		_ = syscall.Kill(s.Pid, signal)
		waitUntil(grace, func() bool { return !alive(s) })
		// The session it leads is its own: whatever is left in it goes, too.
		_ = syscall.Kill(-s.Pid, syscall.SIGKILL)
		if !waitUntil(5*time.Second, func() bool { return !alive(s) }) {
			return fmt.Errorf("%s (pid %d) does not end", name, s.Pid)
		}
	}
	return os.RemoveAll(m.path("pids", name))
}

// Forget removes the saved spec, so that the process is not started again.
func (m Manager) Forget(name string) error { return os.RemoveAll(m.path("state", name+".json")) }

func waitUntil(limit time.Duration, done func() bool) bool {
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
	return true
}

// Tail returns the last lines of the process's log.
func (m Manager) Tail(name string, lines int) string {
	text, err := os.ReadFile(m.Log(name))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Environ is the minimal environment that every process gets: what the caller
// happens to have set must not reach a service.
func Environ() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8"}
}
