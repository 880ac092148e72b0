package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Lock serializes the commands that start and stop processes: two that start the same
// part concurrently would both fail. The kernel releases the lock when its process ends.
// Lock reads the addresses again, because an earlier holder may have changed them.
func (s *Stack) Lock(ctx context.Context) (unlock func(), err error) {
	if unlock, err = waitLock(ctx, filepath.Join(s.Dir, "lock"), s.Out); err != nil {
		return nil, err
	}
	if err := s.loadAddresses(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// lockRuns serializes the creation and removal of the folders of private stacks.
func lockRuns(ctx context.Context, repo string, out io.Writer) (unlock func(), err error) {
	return waitLock(ctx, filepath.Join(repo, ".dev", "runs.lock"), out)
}

func waitLock(ctx context.Context, name string, out io.Writer) (unlock func(), err error) {
	for reported := false; ; {
		file, err := tryLock(name)
		if err != nil {
			return nil, err
		}
		if file != nil {
			return func() { _ = file.Close() }, nil
		}
		if !reported {
			holder, _ := os.ReadFile(name)
			fmt.Fprintf(out, "waiting for another devstack command to end (pid %s)\n", strings.TrimSpace(string(holder)))
			reported = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another devstack command: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tryLock returns the locked file, or nil if another process holds the lock. The file
// contains the pid of its holder, for messages.
func tryLock(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err = takeLock(file, name); err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", name, err)
}

// takeLock returns EWOULDBLOCK if another process holds the lock, or has removed the
// locked file, as clean does.
func takeLock(file *os.File, name string) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && !isCurrent(file, name) {
		err = syscall.EWOULDBLOCK
	}
	return err
}

// isCurrent reports whether name still refers to the open file.
func isCurrent(file *os.File, name string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(name)
	return err == nil && os.SameFile(opened, now)
}

// locked reports whether a process holds the lock.
func locked(name string) bool {
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
