package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// defaultGrace is the default time from the stop signal to SIGKILL.
const defaultGrace = 15 * time.Second

// Stop stops the process and its children, and removes its pid file. It is not an error
// if the process does not run.
func (m Manager) Stop(name string) error {
	s, err := m.load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := m.end(s); err != nil {
		return err
	}
	return os.RemoveAll(m.path("pids", name))
}

// end sends the stop signal to the process and, after the grace period, SIGKILL to its
// group. If the leader of the group is gone, the group gets the stop signal.
func (m Manager) end(s saved) error {
	led := alive(s)
	if !led && !m.orphaned(s) {
		return nil
	}
	signal, grace := s.StopSignal, s.Grace
	if signal == 0 {
		signal = syscall.SIGTERM
	}
	if grace == 0 {
		grace = defaultGrace
	}
	all := func() bool { return !alive(s) && len(group(s)) == 0 }
	target, done := -s.Pid, all
	if led && !s.WholeGroup {
		target, done = s.Pid, func() bool { return !alive(s) }
	}
	_ = syscall.Kill(target, signal)
	waitUntil(grace, done)
	_ = syscall.Kill(-s.Pid, syscall.SIGKILL)
	if !waitUntil(5*time.Second, all) {
		return fmt.Errorf("%s (pid %d) does not end", s.Name, s.Pid)
	}
	return nil
}

// group returns the other processes in the group that the process leads or led.
func group(s saved) (members []int) {
	for _, pid := range pids() {
		now := readStat(pid)
		if now.group == s.Pid && pid != s.Pid && !now.ended() && now.started >= s.Started {
			members = append(members, pid)
		}
	}
	return members
}

// orphaned reports whether members of the process group outlive its leader. While they
// do, the kernel does not reuse its number; afterwards a group with this number belongs
// to other processes.
func (m Manager) orphaned(s saved) bool {
	if s.Pid == 0 || s.Boot != boot() {
		return false
	}
	if leader := readStat(s.Pid); leader.pid != 0 && !sameStart(leader.started, s.Started) {
		return false
	}
	for _, pid := range group(s) {
		if belongs(pid, m.Mark(), m.Dir, s.Dir) {
			return true
		}
	}
	return false
}

// endLeftovers stops remains of an earlier process with the name: its group, and a
// process whose pid was not recorded because its starter was killed.
func (m Manager) endLeftovers(name string) error {
	if err := m.Stop(name); err != nil {
		return err
	}
	return endAll(func() []int { return allMarked(m.Mark(), nameVariable+name) })
}

// EndStrays stops every running process that was started with Mark: those that left
// their group, and those whose pid was not recorded because their starter was killed.
// It finds none on systems that hide the environments of processes.
func (m Manager) EndStrays() error {
	return endAll(func() []int { return allMarked(m.Mark()) })
}

// endAll sends SIGTERM to the processes and, after the grace period, SIGKILL.
func endAll(find func() []int) error {
	left := func() (pids []int) {
		for _, pid := range find() {
			if pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		pids := left()
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal)
		}
		if len(pids) == 0 || waitUntil(defaultGrace, func() bool { return len(left()) == 0 }) {
			return nil
		}
	}
	return fmt.Errorf("processes %v do not end", left())
}

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

// Stopped reports whether the process is suspended, as by Ctrl-Z.
func Stopped(pid int) bool { return readStat(pid).state == 'T' }
