// Package stack runs the services stevedore needs, and stevedore itself, as
// ordinary processes with private data folders on loopback addresses.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"stevedore/temporal-dev/internal/packages"
	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

// startTimeout is how long a part may take to be ready. RabbitMQ needs half a
// minute on a cold, busy machine.
const startTimeout = 3 * time.Minute

// startTries is how often a part is started that ends before it answers: Temporal
// chooses ports for its inner services that another part may take first.
const startTries = 3

// freeTimeout is how long the port of a process that has ended may stay taken.
const freeTimeout = 10 * time.Second

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

// startAll starts the parts side by side; the slowest decides how long it takes.
func (s *Stack) startAll(ctx context.Context, parts []part) (started bool, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, p := range parts {
		wg.Go(func() {
			was, err := s.start(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			started = started || was
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return started, errors.Join(errs...)
}

// start starts one part unless it runs, and waits until it answers.
func (s *Stack) start(ctx context.Context, p part) (started bool, err error) {
	began := time.Now()
	if s.Pid(p.name) == 0 {
		if err := s.launch(ctx, p); err != nil {
			return false, err
		}
		started = true
	}
	err = s.await(ctx, p)
	for try := 1; errors.Is(err, errEnded) && try < startTries; try++ {
		// It was dying when we looked: a killed process is still there for a moment.
		// Or a port that it chose by itself was taken by another part meanwhile.
		if err := s.launch(ctx, p); err != nil {
			return started, err
		}
		started = true
		err = s.await(ctx, p)
	}
	if err != nil {
		return started, err
	}
	if p.after != nil {
		if err := p.after(ctx); err != nil {
			return started, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if started {
		s.say("  %-10s up in %.1f s (pid %d)", p.name, time.Since(began).Seconds(), s.Pid(p.name))
	}
	return started, nil
}

// errEnded means that the process ended before it answered.
var errEnded = errors.New("it ended")

func (s *Stack) launch(ctx context.Context, p part) error {
	if err := s.Stop(p.name); err != nil { // what a killed one has left holds its ports
		return err
	}
	for _, port := range p.ports {
		if !ports.WaitFree(ctx, port, freeTimeout) {
			return fmt.Errorf("%s: another program listens on port %d: `make down` and `make up` choose another port", p.name, port)
		}
	}
	spec, err := p.prepare(ctx)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", p.name, err)
	}
	spec.Name = p.name
	return s.Start(spec)
}

// await waits until the part answers. One that dies is not waited for, and an
// answer counts only while it lives: somebody else may have given it.
func (s *Stack) await(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.ready(ctx)
		if s.Pid(p.name) == 0 {
			return s.failed(p.name, errEnded)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("%s: interrupted while it starts", p.name)
			}
			return s.failed(p.name, fmt.Errorf("not ready after %s: %w", startTimeout, err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// failed shows the end of the log beside the reason.
func (s *Stack) failed(name string, reason error) error {
	return fmt.Errorf("%s does not start: %w; the end of %s:\n%s", name, reason, s.Log(name), s.Tail(name, 15))
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

// listening is a ready check: somebody takes connections on the port.
func listening(port int) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", ports.Addr(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answering is a ready check: the URL says 200.
func answering(url string) func(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s says %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}

// SSHD is the path of the OpenSSH server. It is known after Up.
func (s *Stack) SSHD() string { return s.programs.SSHD }
