package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Run brings up a private stack, runs the command with its addresses in the
// environment, and takes the stack down whatever happens. It returns the
// command's exit code.
//
// The taking down is a process of its own (Reap) that waits for the end of a
// pipe: it also comes when this process is killed.
func Run(ctx context.Context, repo string, out io.Writer, argv []string) (code int, err error) {
	Sweep(repo, out)
	root := filepath.Join(repo, ".dev")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp(root, "run-")
	if err != nil {
		return 1, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the postgres user passes through
		return 1, err
	}
	stop, err := startReaper(repo, dir, out)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	s, err := Open(repo, dir, true, out)
	if err != nil {
		return 1, err
	}
	began := time.Now()
	s.say("starting a private stack in %s", dir)
	if _, err := s.Up(ctx, false); err != nil {
		return 1, err
	}
	s.say("  ready in %.1f s", time.Since(began).Seconds())
	return runCommand(ctx, s.Env(), argv)
}

// runCommand runs the command in the foreground. When ctx ends it is asked to
// end, and killed a little later.
func runCommand(ctx context.Context, env, argv []string) (code int, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// startReaper starts the process that takes the stack down. The stop function
// lets it begin and waits for it.
func startReaper(repo, dir string, out io.Writer) (stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	owner := []byte(strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(filepath.Join(dir, "owner"), owner, 0o644); err != nil {
		return nil, err
	}
	reaper := exec.Command(self, "reap", repo, dir)
	reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	reaper.Stdout, reaper.Stderr = out, out
	pipe, err := reaper.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := reaper.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return func() error { return errors.Join(pipe.Close(), reaper.Wait()) }, nil
}

// Reap waits until its input ends, which is when its parent is gone, and then
// takes the stack down and away.
func Reap(repo, dir string, in io.Reader) error {
	_, _ = io.Copy(io.Discard, in)
	s, err := Open(repo, dir, true, io.Discard)
	if err != nil {
		return err
	}
	return errors.Join(s.Down(), s.Remove())
}

// Sweep takes away private stacks whose owner is gone. There are none unless
// the owner and its reaper were both killed.
func Sweep(repo string, out io.Writer) {
	dirs, _ := filepath.Glob(filepath.Join(repo, ".dev", "run-*"))
	for _, dir := range dirs {
		text, _ := os.ReadFile(filepath.Join(dir, "owner"))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		if pid > 0 && syscall.Kill(pid, 0) == nil {
			continue
		}
		fmt.Fprintf(out, "removing what is left of %s\n", dir)
		if s, err := Open(repo, dir, true, out); err == nil {
			_ = errors.Join(s.Down(), s.Remove())
		}
	}
}
