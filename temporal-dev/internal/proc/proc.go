// Package proc starts background processes and finds them again by files: DIR/pids/NAME
// holds the pid, DIR/logs/NAME.log the output, and DIR/state/NAME.json the command and
// start time. There is no supervisor whose death would orphan processes.
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

// Spec describes a process to start.
type Spec struct {
	Name string   `json:"name"`
	Path string   `json:"path"`
	Args []string `json:"args"`
	// Env is added to a minimal environment (PATH, HOME, LANG).
	Env []string `json:"env,omitempty"`
	Dir string   `json:"dir,omitempty"`
	// UID and GID select another user; 0 is the caller's.
	UID uint32 `json:"uid,omitempty"`
	GID uint32 `json:"gid,omitempty"`
	// StopSignal is sent to stop it; default SIGTERM. Grace is the time until SIGKILL;
	// default 15 s.
	StopSignal syscall.Signal `json:"stop_signal,omitempty"`
	Grace      time.Duration  `json:"grace,omitempty"`
	// WholeGroup sends StopSignal to its process group instead of the process.
	WholeGroup bool `json:"whole_group,omitempty"`
	// Extra marks a process outside of the stack's parts, which is restarted by its saved
	// spec.
	Extra bool `json:"extra,omitempty"`
}

// saved is a Spec with the process started from it.
type saved struct {
	Spec
	Pid int `json:"pid"`
	// Started is the start time: in clock ticks since boot on Linux, in Unix milliseconds
	// elsewhere. Boot identifies the boot. Pids are reused, but not together with the
	// other two.
	Started int64  `json:"started"`
	Boot    string `json:"boot,omitempty"`
}

// Manager manages the processes of one folder.
type Manager struct {
	// Dir is the absolute path of the folder, usually .dev.
	Dir string
}

func (m Manager) path(elem ...string) string {
	return filepath.Join(append([]string{m.Dir}, elem...)...)
}

// Log returns the path of the process's log.
func (m Manager) Log(name string) string { return m.path("logs", name+".log") }

// Start starts the process in a new session, so that it outlives the caller and its
// terminal. It first stops remains of an earlier process with the name. The pid is on
// disk before Start returns.
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
	go func() { _ = cmd.Wait() }() // avoids a zombie; after this process ends, init does
	return m.Adopt(s, cmd.Process.Pid)
}

// Adopt records a running process that leads its process group, so that Stop and Pid
// find it.
func (m Manager) Adopt(s Spec, pid int) error {
	if err := m.makeDirs(); err != nil {
		return err
	}
	// The state is written first: the pid file is only for users and scripts.
	text, err := json.Marshal(saved{Spec: s, Pid: pid, Started: readStat(pid).started, Boot: boot()})
	if err != nil {
		return err
	}
	if err := m.Write(m.path("state", s.Name+".json"), text, 0o600); err != nil { // the environment contains passwords
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

// Write replaces a file below Dir atomically.
func (m Manager) Write(name string, text []byte, mode fs.FileMode) error {
	draft := m.path("state", filepath.Base(name)+".new")
	if err := os.WriteFile(draft, text, mode); err != nil {
		return err
	}
	return os.Rename(draft, name)
}

func (m Manager) load(name string) (saved, error) {
	var s saved
	text, err := os.ReadFile(m.path("state", name+".json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// Spec returns the spec with which the process was last started.
func (m Manager) Spec(name string) (Spec, error) {
	s, err := m.load(name)
	return s.Spec, err
}

// Pid returns the pid of the process, or 0 if it does not run. It detects a reused pid.
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

// Names returns the sorted names of the recorded processes.
func (m Manager) Names() []string {
	files, _ := filepath.Glob(m.path("state", "*.json"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.Sort(names)
	return names
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

// Variables that mark the processes of a Manager: its folder and the name.
const (
	dirVariable  = "DEVSTACK_DIR="
	nameVariable = "DEVSTACK_NAME="
)

// Environ returns the minimal environment of every process. The caller's variables and
// home directory must not affect services.
func (m Manager) Environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.path("home"), "LANG=C.UTF-8", m.Mark()}
}

// Mark returns the variable that marks a process and its children for EndStrays.
func (m Manager) Mark() string { return dirVariable + m.Dir }

// Owner is the owner of a listening port.
type Owner int

// The owners of a port, from the point of view of a process.
const (
	OwnerNone    Owner = iota // nothing listens
	OwnerSelf                 // the process or one of its children
	OwnerOther                // another program
	OwnerUnknown              // the system does not reveal it
)

// PortOwner returns who listens on the loopback port: the named process or another one.
func (m Manager) PortOwner(name string, port int) Owner {
	found, known := listeners(port)
	if !known {
		return OwnerUnknown
	}
	if len(found) == 0 {
		return OwnerNone
	}
	s, err := m.load(name)
	if err != nil {
		return OwnerOther
	}
	for _, pid := range slices.Concat([]int{s.Pid}, group(s), allMarked(m.Mark(), nameVariable+name)) {
		for socket := range sockets(pid) {
			delete(found, socket)
		}
	}
	if len(found) > 0 {
		return OwnerOther
	}
	return OwnerSelf
}

// ForeignListener describes the process that listens on the loopback port, as "name
// (pid 7)". It returns "" if none is visible, or if the process belongs to the Manager.
func (m Manager) ForeignListener(port int) string {
	found, _ := listeners(port)
	for _, pid := range pids() {
		for socket := range sockets(pid) {
			if found[socket] && !belongs(pid, m.Mark(), m.Dir) {
				return fmt.Sprintf("%s (pid %d)", program(pid), pid)
			}
		}
	}
	return ""
}
