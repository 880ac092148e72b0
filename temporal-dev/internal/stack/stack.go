// Package stack runs the services stevedore needs, and stevedore itself, as
// ordinary processes with private data folders on loopback addresses.
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
	// Private stacks are for tests: they take no usual ports and trade durability
	// for speed.
	Private bool
	// Out gets one line for each thing done.
	Out io.Writer

	addr     addresses
	programs packages.Programs
	mu       sync.Mutex // serialises Out
}

// part is one process of the stack.
type part struct {
	name string
	// prepare makes data folders and returns how to start the process.
	prepare func(ctx context.Context) (proc.Spec, error)
	// ports are those it will listen on.
	ports []int
	// ready returns nil once the part answers.
	ready func(ctx context.Context) error
	// after runs once it is ready, e.g. to create a database.
	after func(ctx context.Context) error
}

// Open returns the stack of a folder, which need not exist yet.
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

// Services are the parts that stevedore needs.
func (s *Stack) services() []part {
	return []part{s.postgres(), s.rabbitmq(), s.minio(), s.temporal()}
}

// Up starts what does not run: services side by side, then with app set
// stevedore itself. It reports whether anything had to be started.
func (s *Stack) Up(ctx context.Context, app bool) (started bool, err error) {
	if err := os.MkdirAll(filepath.Join(s.Dir, "state"), 0o755); err != nil {
		return false, err
	}
	if s.programs, err = packages.Ensure(s.Out, s.Private); err != nil {
		return false, err
	}
	if !s.anyRunning() {
		if err := s.addr.repick(); err != nil {
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

// Down stops everything, stevedore first and the services it needs last.
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

// Remove removes the stack's data, but not the folders of private stacks that
// are in use. It must be down.
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
			s.say("  %s is in use and stays", name)
		case !strings.HasSuffix(name, "lock"):
			errs = append(errs, os.RemoveAll(name))
		}
	}
	if !used {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	return errors.Join(errs...)
}

// command runs a tool and returns its output in the error.
func (s *Stack) command(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(s.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// SSHD is the path of the OpenSSH server. It is known after Up.
func (s *Stack) SSHD() string { return s.programs.SSHD }
