package stack

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stevedore/temporal-dev/internal/proc"
)

// terminal is the one that a command gets for itself while it runs, as from a
// shell. It is nil when there is none to give.
type terminal struct{ fd int }

// ownTerminal returns the terminal of standard input if it is ours to give.
func ownTerminal() *terminal {
	fd := int(os.Stdin.Fd())
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != syscall.Getpgrp() {
		return nil
	}
	return &terminal{fd: fd}
}

func (t *terminal) give(group int) {
	signal.Ignore(syscall.SIGTTOU) // which one gets for doing this from the background
	defer signal.Reset(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
}

// takeBack makes the terminal ours again.
func (t *terminal) takeBack() {
	if t != nil {
		t.give(syscall.Getpgrp())
	}
}

// watchStops makes Ctrl-Z work: the shell sees only us stop, not the command,
// so when that has stopped, we stop, and when we go on, it goes on.
func (t *terminal) watchStops(pid int, done <-chan struct{}) {
	ticks := time.NewTicker(300 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticks.C:
		}
		if !proc.Stopped(pid) {
			continue
		}
		t.takeBack()
		_ = syscall.Kill(0, syscall.SIGTSTP)
		time.Sleep(time.Second) // passes after we have been continued
		t.give(pid)
		_ = syscall.Kill(-pid, syscall.SIGCONT)
	}
}
