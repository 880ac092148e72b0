package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// defaultGrace is how long a process may take to end before it is killed.
const defaultGrace = 15 * time.Second

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
	if err := m.end(s); err != nil {
		return err
	}
	return os.RemoveAll(m.path("pids", name))
}

// end asks the process to end, then kills what is left of its group. A group
// whose leader was killed is asked as a whole.
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
	// Its group is its own: whatever is left in it goes, too.
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

// orphaned reports whether the group of a process that is gone lives on. While
// it does, its number is not given out again; afterwards it may be another's,
// whose members are not ours.
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

// endLeftovers ends what an earlier process of the name has left: its group,
// and a process whose pid could not be noted because the starter was killed.
func (m Manager) endLeftovers(name string) error {
	if err := m.Stop(name); err != nil {
		return err
	}
	return endAll(func() []int { return allMarked(m.Mark(), nameVariable+name) })
}

// EndStrays ends every process that was started with Mark and is still there:
// those that left their group, and those whose starter was killed before it
// could note their pid. It finds none where other processes' environments
// cannot be seen.
func (m Manager) EndStrays() error {
	return endAll(func() []int { return allMarked(m.Mark()) })
}

// endAll asks the processes to end, and kills those that do not.
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

// Stopped reports whether the process was stopped, as by Ctrl-Z.
func Stopped(pid int) bool { return readStat(pid).state == 'T' }
