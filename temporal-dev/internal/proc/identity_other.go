//go:build !linux

package proc

import (
	"slices"
	"syscall"

	"github.com/shirou/gopsutil/v3/process"
)

// stat is what the system says of a process.
type stat struct {
	pid   int
	state byte
	group int
	// started is the creation time in Unix milliseconds.
	started int64
}

func (s stat) ended() bool { return s.pid == 0 || s.state == 'Z' }

// readStat returns the zero value when there is no such process.
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

// boot is not known here: creation times stand alone.
func boot() string { return "" }

// sameStart allows for the clock, from which creation times are derived.
func sameStart(a, b int64) bool { return max(a-b, b-a) <= 2000 }

// pids returns every process there is.
func pids() (all []int) {
	list, _ := process.Pids()
	for _, pid := range list {
		all = append(all, int(pid))
	}
	return all
}

// allMarked cannot be told here: one process does not see another's environment.
func allMarked(...string) []int { return nil }

// belongs cannot be told here: the group and the time of start have to do.
func belongs(int, string, ...string) bool { return true }
