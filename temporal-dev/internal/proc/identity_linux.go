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

// stat describes a process, from /proc/PID/stat.
type stat struct {
	pid int
	// state is R, S, T (stopped), Z (ended, not yet waited for) and so on.
	state byte
	// group is the process group.
	group int
	// started is the start time in clock ticks since boot, independent of the wall
	// clock.
	started int64
}

func (s stat) ended() bool { return s.pid == 0 || s.state == 'Z' || s.state == 'X' }

// readStat returns the zero value if there is no such process.
func readStat(pid int) stat {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}
	}
	// The second field is the name in brackets, which may contain any character.
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

// program returns the name of the process's program, at most 15 bytes of it.
func program(pid int) string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return strings.TrimSpace(string(text))
}

// boot identifies the current boot: ticks of different boots are not comparable.
var boot = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
})

// sameStart reports whether two start times are equal.
func sameStart(a, b int64) bool { return a == b }

// pids returns the ids of all processes.
func pids() (all []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// marked reports whether the process was started with all the variables or has inherited
// them. It is false for processes that overwrite their environment with a title, and
// for those of other users.
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

// belongs reports whether the process is marked with the variable or has its working
// directory in one of the folders.
func belongs(pid int, variable string, dirs ...string) bool {
	if marked(pid, variable) {
		return true
	}
	at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && slices.ContainsFunc(dirs, func(dir string) bool {
		return dir != "" && (at == dir || strings.HasPrefix(at, dir+"/"))
	})
}

// listeners returns the sockets that listen on the port at the loopback or wildcard
// address, by the name of their links in /proc/PID/fd.
func listeners(port int) (sockets map[string]bool, known bool) {
	const listen = "0A"
	addresses := []string{"0100007F", "00000000", strings.Repeat("0", 32), "0000000000000000FFFF00000100007F"}
	sockets = map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil && table == "/proc/net/tcp" {
			return nil, false
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != listen {
				continue
			}
			address, hex, _ := strings.Cut(fields[1], ":")
			if found, err := strconv.ParseUint(hex, 16, 16); err == nil && int(found) == port && slices.Contains(addresses, address) {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
	}
	return sockets, true
}

// sockets returns the sockets that the process has open.
func sockets(pid int) map[string]bool {
	found := map[string]bool{}
	links, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:") {
			found[target] = true
		}
	}
	return found
}
