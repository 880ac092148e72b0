// Package stack runs stevedore and its services as processes with private data folders
// on loopback addresses.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"stevedore/temporal-dev/internal/packages"
	"stevedore/temporal-dev/internal/proc"
)

// Stack is one set of services.
type Stack struct {
	proc.Manager
	// Repo is the checkout; its bin folder holds the built tools.
	Repo string
	// Private marks a stack for tests: it uses no well-known ports and trades durability
	// for speed.
	Private bool
	// Out receives progress messages.
	Out io.Writer

	addr addresses
	// settings are the caller's settings for stevedore, as KEY=value. Private stacks
	// have none.
	settings []string
	programs packages.Programs
	mu       sync.Mutex // serialises Out
}

// part is one process of the stack.
type part struct {
	name string
	// prepare creates data folders and returns the process to start.
	prepare func(ctx context.Context) (proc.Spec, error)
	// ports are the ports it listens on.
	ports []int
	// ready returns nil once the part is ready.
	ready func(ctx context.Context) error
	// after, if not nil, runs once the part is ready, e.g. to create a database.
	after func(ctx context.Context) error
}

// Open returns the stack of a folder, which need not exist.
func Open(repo, dir string, private bool, out io.Writer) (*Stack, error) {
	s := &Stack{Manager: proc.Manager{Dir: dir}, Repo: repo, Private: private, Out: out}
	return s, s.loadAddresses()
}

func (s *Stack) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.Out, format+"\n", args...)
}

func (s *Stack) tool(name string) string { return filepath.Join(s.Repo, "bin", name) }

// services returns the services of stevedore.
func (s *Stack) services() []part {
	return []part{s.postgres(), s.rabbitmq(), s.minio(), s.temporal()}
}

// Up starts the services concurrently and then, with app, stevedore. Running parts are
// kept. It reports whether anything was started.
func (s *Stack) Up(ctx context.Context, app bool) (started bool, err error) {
	if err := os.MkdirAll(filepath.Join(s.Dir, "state"), 0o755); err != nil {
		return false, err
	}
	if s.programs, err = packages.Ensure(s.Out, s.Private); err != nil {
		return false, err
	}
	if !s.Private { // before ports change: the caller may have sourced EnvFile
		if err := s.takeSettings(os.Environ()); err != nil {
			return false, err
		}
	}
	if !s.anyRunning() {
		if err := s.addr.replaceTaken(); err != nil {
			return false, err
		}
	}
	if err := s.choosePostgresDir(); err != nil {
		return false, err
	}
	if err := s.saveAddresses(); err != nil {
		return false, err
	}
	started, err = s.startAll(ctx, s.services())
	if err != nil || !app {
		return started, err
	}
	appStarted, err := s.upApp(ctx, started)
	return started || appStarted, err
}

func (s *Stack) anyRunning() bool {
	for _, name := range s.Names() {
		if s.Pid(name) != 0 {
			return true
		}
	}
	return false
}

// Down stops everything: first stevedore, then its services.
func (s *Stack) Down() error {
	order := []string{"api", "worker", "temporal", "minio", "rabbitmq", "postgres", "epmd"}
	known := map[string]bool{}
	for _, name := range order {
		known[name] = true
	}
	for _, name := range s.Names() {
		if !known[name] {
			order = append([]string{name}, order...)
		}
	}
	var errs []error
	for _, name := range order {
		if pid := s.Pid(name); pid != 0 {
			s.say("  stopping %s (pid %d)", name, pid)
		}
		errs = append(errs, s.Stop(name))
	}
	return errors.Join(append(errs, s.EndStrays())...)
}

// Remove removes the data of a stopped stack, except the folders of private stacks in
// use.
func (s *Stack) Remove() error {
	var errs []error
	if s.addr.PostgresDir != "" && !strings.HasPrefix(s.addr.PostgresDir, s.Dir+"/") {
		errs = append(errs, os.RemoveAll(s.addr.PostgresDir))
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	used := false
	for _, entry := range entries {
		name := filepath.Join(s.Dir, entry.Name())
		switch {
		case locked(filepath.Join(name, ownerFile)):
			used = true
			s.say("  %s is in use and is kept", name)
		case !strings.HasSuffix(name, "lock"):
			errs = append(errs, os.RemoveAll(name))
		}
	}
	if !used {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	return errors.Join(errs...)
}

// command runs a tool. The error contains its output.
func (s *Stack) command(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(s.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// SSHD returns the path of the OpenSSH server. It is set by Up.
func (s *Stack) SSHD() string { return s.programs.SSHD }
