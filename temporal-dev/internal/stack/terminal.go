package stack

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stevedore/temporal-dev/internal/proc"
)

// terminal is the controlling terminal, whose foreground process group a command
// becomes while it runs, as in a shell. It is nil without one.
type terminal struct{ fd int }

// ownTerminal returns the terminal of standard input if this process group is in its
// foreground.
func ownTerminal() *terminal {
	fd := int(os.Stdin.Fd())
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != syscall.Getpgrp() {
		return nil
	}
	return &terminal{fd: fd}
}

func (t *terminal) setForeground(group int) {
	signal.Ignore(syscall.SIGTTOU) // the kernel sends it for this call from the background
	defer signal.Reset(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
}

// restore returns the foreground to this process group.
func (t *terminal) restore() {
	if t != nil {
		t.setForeground(syscall.Getpgrp())
	}
}

// watchStops makes Ctrl-Z work. The shell only sees this process and not the command:
// when the command stops, this process stops, and when it is continued, so is the
// command.
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
		t.restore()
		_ = syscall.Kill(0, syscall.SIGTSTP)
		time.Sleep(time.Second) // interrupted by the stop; ends after SIGCONT
		t.setForeground(pid)
		_ = syscall.Kill(-pid, syscall.SIGCONT)
	}
}
