package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stevedore/temporal-dev/internal/proc"
)

// Run starts a private stack, runs the command with the stack's addresses in its
// environment, and removes the stack. It returns the command's exit code.
//
// A separate process (Reap) removes the stack when a pipe is closed, so that this also
// happens after this process is killed.
func Run(ctx context.Context, repo string, out io.Writer, argv []string) (code int, err error) {
	dir, owner, err := makeRunDir(ctx, repo, out)
	if err != nil {
		return 1, err
	}
	defer func() { _ = owner.Close() }()
	stop, err := startReaper(repo, dir, owner, out)
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
	return s.runCommand(ctx, argv)
}

// makeRunDir creates the folder of a private stack and removes abandoned ones. While the
// returned file is open, in this process or one that has inherited it, the folder is
// not considered abandoned.
func makeRunDir(ctx context.Context, repo string, out io.Writer) (dir string, owner *os.File, err error) {
	unlock, err := lockRuns(ctx, repo, out)
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	sweep(repo, out)
	if dir, err = os.MkdirTemp(filepath.Join(repo, ".dev"), "run-"); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the user postgres
		return "", nil, err
	}
	owner, err = tryLock(filepath.Join(dir, ownerFile))
	return dir, owner, err
}

// ownerFile is locked while a private stack has an owner.
const ownerFile = "owner"

// commandGrace is the time from SIGTERM to SIGKILL for the command.
const commandGrace = 10 * time.Second

// runCommand runs the command in the foreground in its own process group. When ctx ends,
// the group gets SIGTERM and after commandGrace SIGKILL. Processes that the command has
// started do not outlive it.
func (s *Stack) runCommand(ctx context.Context, argv []string) (code int, err error) {
	if lost := s.lost(os.Environ()); len(lost) > 0 {
		s.say("  removed from the command's environment: %s", strings.Join(lost, ", "))
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(scrub(os.Environ()), append(s.Env(), s.Mark())...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	tty := ownTerminal()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: tty != nil}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	defer tty.restore()
	// Recorded for the reaper, which stops it, too.
	err = s.Adopt(proc.Spec{Name: "command", Path: argv[0], Args: argv[1:], WholeGroup: true, Grace: commandGrace}, cmd.Process.Pid)
	done := make(chan struct{})
	if tty != nil {
		go tty.watchStops(cmd.Process.Pid, done)
	}
	ended := cmd.Wait()
	close(done)
	err = errors.Join(err, s.Stop("command"))
	var exit *exec.ExitError
	if errors.As(ended, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), err
	}
	if err = errors.Join(ended, err); err != nil {
		return 1, err
	}
	return 0, nil
}

// switchPrefix is the prefix of all variables that configure tests and benchmarks.
// TestEverySwitchReachesTheCommand enforces it.
const switchPrefix = "STEVEDORE_TEST_"

// scrub removes variables that could direct the command to services outside of the
// stack. Variables with switchPrefix are kept.
func scrub(environ []string) []string {
	services := []string{"STEVEDORE_", "TEMPORAL_", "PG", "AWS_", "MINIO_", "RABBITMQ_", "DEVSTACK_"}
	return slices.DeleteFunc(slices.Clone(environ), func(line string) bool {
		begins := func(prefix string) bool { return strings.HasPrefix(line, prefix) }
		return slices.ContainsFunc(services, begins) && !begins(switchPrefix)
	})
}

// lost returns the names of stevedore's variables that scrub removes and the stack does
// not set, to warn the caller that they have no effect.
func (s *Stack) lost(environ []string) (names []string) {
	kept := scrub(environ)
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "STEVEDORE_") && !slices.Contains(kept, line) && s.Get(name) == "" {
			names = append(names, name)
		}
	}
	return names
}

// startReaper starts the process that removes the stack. stop triggers the removal and
// waits for it. The reaper inherits the owner file, so that no other process removes
// the stack at the same time.
func startReaper(repo, dir string, owner *os.File, out io.Writer) (stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	reaper := exec.Command(self, "reap", repo, dir)
	reaper.Env = scrub(os.Environ()) // without the mark of an enclosing stack
	reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	reaper.Stdout, reaper.Stderr = out, out
	reaper.ExtraFiles = []*os.File{owner}
	pipe, err := reaper.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := reaper.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return func() error { return errors.Join(pipe.Close(), reaper.Wait()) }, nil
}

// Reap waits until its input ends, at the latest with its parent, and then stops and
// removes the stack.
func Reap(repo, dir string, in io.Reader) error {
	_, _ = io.Copy(io.Discard, in)
	s, err := Open(repo, dir, true, io.Discard)
	if err != nil {
		return err
	}
	return errors.Join(s.Down(), s.Remove())
}

// Sweep removes private stacks whose owner and reaper were both killed.
func Sweep(ctx context.Context, repo string, out io.Writer) error {
	unlock, err := lockRuns(ctx, repo, out)
	if err != nil {
		return err
	}
	defer unlock()
	sweep(repo, out)
	return nil
}

// sweep is Sweep for callers that hold the lock.
func sweep(repo string, out io.Writer) {
	for _, dir := range runDirs(filepath.Join(repo, ".dev")) {
		if locked(filepath.Join(dir, ownerFile)) {
			continue
		}
		fmt.Fprintf(out, "removing the abandoned stack %s\n", dir)
		s, err := Open(repo, dir, true, out)
		if err == nil {
			err = errors.Join(s.Down(), s.Remove())
		}
		if err != nil {
			fmt.Fprintf(out, "  %v\n", err)
		}
	}
}

// runDirs returns the folders of private stacks.
func runDirs(root string) []string {
	dirs, _ := filepath.Glob(filepath.Join(root, "run-*"))
	return dirs
}

// Clean stops everything and removes all data, except private stacks in use.
func (s *Stack) Clean(ctx context.Context) error {
	unlock, err := lockRuns(ctx, s.Repo, s.Out)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.Down(); err != nil {
		return err
	}
	sweep(s.Repo, s.Out)
	return s.Remove()
}
