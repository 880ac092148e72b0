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

// Lock makes the commands that start and stop things take turns: two that
// start the same part at once would both lose. The lock ends with the process
// that holds it, however that ends. What an earlier holder has chosen is read
// again.
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

// lockRuns guards the making and removing of the private stacks' folders.
func lockRuns(ctx context.Context, repo string, out io.Writer) (unlock func(), err error) {
	return waitLock(ctx, filepath.Join(repo, ".dev", "runs.lock"), out)
}

func waitLock(ctx context.Context, name string, out io.Writer) (unlock func(), err error) {
	for said := false; ; {
		file, err := tryLock(name)
		if err != nil {
			return nil, err
		}
		if file != nil {
			return func() { _ = file.Close() }, nil
		}
		if !said {
			holder, _ := os.ReadFile(name)
			fmt.Fprintf(out, "waiting for another devstack command to end (pid %s)\n", strings.TrimSpace(string(holder)))
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another devstack command: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tryLock returns the locked file, or nil when somebody else has it. The file
// holds the pid of its owner for people to read.
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

// takeLock returns EWOULDBLOCK when somebody else has the lock, or has removed
// the file with it, as clean does.
func takeLock(file *os.File, name string) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && !stillThere(file, name) {
		err = syscall.EWOULDBLOCK
	}
	return err
}

func stillThere(file *os.File, name string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(name)
	return err == nil && os.SameFile(opened, now)
}

// locked reports whether somebody has the lock.
func locked(name string) bool {
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
