package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// stat is what the kernel says of a process.
type stat struct {
	pid int
	// state is R, S, T (stopped), Z (ended, not yet waited for) and so on.
	state byte
	// group is the process group.
	group int
	// started counts clock ticks since boot. A step of the wall clock does not
	// touch it.
	started int64
}

func (s stat) ended() bool { return s.pid == 0 || s.state == 'Z' || s.state == 'X' }

// readStat returns the zero value when there is no such process.
func readStat(pid int) stat {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}
	}
	// The second field is the name in brackets, which may hold anything.
	_, rest, ok := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return stat{}
	}
	s := stat{pid: pid, state: fields[0][0]}
	s.group, _ = strconv.Atoi(fields[2])
	s.started, _ = strconv.ParseInt(fields[19], 10, 64)
	return s
}

// boot names the time since the machine was booted: ticks of another boot
// cannot be compared.
var boot = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
})

// sameStart reports whether two start times are of one process.
func sameStart(a, b int64) bool { return a == b }

// pids returns every process there is.
func pids() (all []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// marked reports whether the process, or the one that started it, was started
// with all the variables. It is false for a process that writes its title over
// its environment, and for another user's.
func marked(pid int, variables ...string) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	has := strings.Split(string(text), "\x00")
	return !slices.ContainsFunc(variables, func(v string) bool { return !slices.Contains(has, v) })
}

// allMarked returns the processes that were started with all the variables.
func allMarked(variables ...string) (found []int) {
	for _, pid := range pids() {
		if marked(pid, variables...) && !readStat(pid).ended() {
			found = append(found, pid)
		}
	}
	return found
}

// belongs reports whether the process is known by a variable or works in one
// of the folders.
func belongs(pid int, variable string, dirs ...string) bool {
	if marked(pid, variable) {
		return true
	}
	at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && slices.ContainsFunc(dirs, func(dir string) bool {
		return dir != "" && (at == dir || strings.HasPrefix(at, dir+"/"))
	})
}
