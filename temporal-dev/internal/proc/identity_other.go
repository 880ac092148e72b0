//go:build !linux

package proc

import (
	"slices"
	"syscall"

	"github.com/shirou/gopsutil/v3/process"
)

// stat describes a process.
type stat struct {
	pid   int
	state byte
	group int
	// started is the creation time in Unix milliseconds.
	started int64
}

func (s stat) ended() bool { return s.pid == 0 || s.state == 'Z' }

// readStat returns the zero value if there is no such process.
func readStat(pid int) stat {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return stat{}
	}
	s := stat{pid: pid, state: 'S'}
	if s.started, err = p.CreateTime(); err != nil {
		return stat{}
	}
	states, _ := p.Status()
	switch {
	case slices.Contains(states, process.Zombie):
		s.state = 'Z'
	case slices.Contains(states, process.Stop):
		s.state = 'T'
	}
	s.group, _ = syscall.Getpgid(pid)
	return s
}

// boot is not available here, so creation times must suffice.
func boot() string { return "" }

// sameStart tolerates changes of the clock, from which creation times are derived.
func sameStart(a, b int64) bool { return max(a-b, b-a) <= 2000 }

// pids returns the ids of all processes.
func pids() (all []int) {
	list, _ := process.Pids()
	for _, pid := range list {
		all = append(all, int(pid))
	}
	return all
}

// allMarked returns nothing, because other processes' environments are not visible here.
func allMarked(...string) []int { return nil }

// belongs returns true, because group and start time must suffice here.
func belongs(int, string, ...string) bool { return true }

// listeners reports false, because sockets have no visible owner here.
func listeners(int) (sockets map[string]bool, known bool) { return nil, false }

func sockets(int) map[string]bool { return nil }

func program(int) string { return "" }
