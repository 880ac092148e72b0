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
	// WholeGroup sends StopSignal to all of its process group, not only to the
	// process itself.
	WholeGroup bool `json:"whole_group,omitempty"`
	// Extra marks a process that is not one of the stack's own parts and is
	// started again by its saved spec.
	Extra bool `json:"extra,omitempty"`
}

// saved is a Spec and the process that came of it.
type saved struct {
	Spec
	Pid int `json:"pid"`
	// Started is when the process was created: in clock ticks since boot on
	// Linux, in Unix milliseconds elsewhere. Boot names that boot. A pid is
	// recycled, the three together are not.
	Started int64  `json:"started"`
	Boot    string `json:"boot,omitempty"`
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
// caller and its terminal. The pid is on disk before Start returns. What is
// left of an earlier process of the name is ended first.
func (m Manager) Start(s Spec) error {
	if err := m.makeDirs(); err != nil {
		return err
	}
	if err := m.endLeftovers(s.Name); err != nil {
		return err
	}
	log, err := os.OpenFile(m.Log(s.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Env, cmd.Dir = slices.Concat(m.Environ(), s.Env, []string{nameVariable + s.Name}), s.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.UID, Gid: s.GID}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	go func() { _ = cmd.Wait() }() // no zombie while we live; init takes over afterwards
	return m.Adopt(s, cmd.Process.Pid)
}

// Adopt notes a process that somebody else has started as the leader of a
// process group, so that Stop and Pid find it.
func (m Manager) Adopt(s Spec, pid int) error {
	if err := m.makeDirs(); err != nil {
		return err
	}
	// The state first: a pid in the other file is for people and scripts.
	text, err := json.Marshal(saved{Spec: s, Pid: pid, Started: readStat(pid).started, Boot: boot()})
	if err != nil {
		return err
	}
	if err := m.Write(m.path("state", s.Name+".json"), text, 0o600); err != nil { // the environment holds passwords
		return err
	}
	return m.Write(m.path("pids", s.Name), []byte(strconv.Itoa(pid)+"\n"), 0o644)
}

func (m Manager) makeDirs() error {
	var errs []error
	for _, dir := range []string{"home", "pids", "logs", "state"} {
		errs = append(errs, os.MkdirAll(m.path(dir), 0o755))
	}
	return errors.Join(errs...)
}

// Write replaces a file below Dir at once: a reader, or a kill halfway, finds
// the old text or the new one.
func (m Manager) Write(name string, text []byte, mode fs.FileMode) error {
	half := m.path("state", filepath.Base(name)+".new")
	if err := os.WriteFile(half, text, mode); err != nil {
		return err
	}
	return os.Rename(half, name)
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
	now := readStat(s.Pid)
	return !now.ended() && s.Boot == boot() && sameStart(now.started, s.Started)
}

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

// Forget removes the saved spec, so that the process is not started again.
func (m Manager) Forget(name string) error { return os.RemoveAll(m.path("state", name+".json")) }

// Tail returns the last lines of the process's log.
func (m Manager) Tail(name string, lines int) string {
	text, err := os.ReadFile(m.Log(name))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// The variables by which a process is known as one of a Manager's: in which
// folder, and by which name.
const (
	dirVariable  = "DEVSTACK_DIR="
	nameVariable = "DEVSTACK_NAME="
)

// Environ is the minimal environment that every process gets: what the caller
// happens to have set, or keeps in his home, must not reach a service.
func (m Manager) Environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.path("home"), "LANG=C.UTF-8", m.Mark()}
}

// Mark is the variable that makes a process, and what it starts, one that
// EndStrays ends.
func (m Manager) Mark() string { return dirVariable + m.Dir }
