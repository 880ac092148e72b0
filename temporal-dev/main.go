// Command devstack runs stevedore with its services on one machine without containers:
// PostgreSQL, RabbitMQ, MinIO, Temporal and OpenSSH as processes with data in .dev, on
// loopback addresses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"stevedore/temporal-dev/internal/demo"
	"stevedore/temporal-dev/internal/expect"
	"stevedore/temporal-dev/internal/fuzz"
	"stevedore/temporal-dev/internal/mutate"
	"stevedore/temporal-dev/internal/stack"
)

const usage = `usage: devstack COMMAND

  up                start services, worker and API, unless they run
  down              stop everything, including leftovers of killed runs
  status [-o json]  list processes and addresses
  clean             stop everything and remove all data
  run -- CMD ARGS   run a command with a private stack
  expect RE... -- CMD ARGS
                    run a command and require lines of its output to match
  fuzz TIME [RE]    fuzz all parsers of external input for TIME in total
  mutate TABLE [RE] apply the mutations of the table (with a matching name)
                    one by one and list those that no test detects
  demo              ingest sample files end to end, see README
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := dispatch(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "devstack:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func dispatch(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2, nil
	}
	if args[0] == "reap" { // internal: started by run
		return 0, stack.Reap(args[1], args[2], os.Stdin)
	}
	if args[0] == "expect" {
		return expectOutput(ctx, args[1:])
	}
	repo, err := repository()
	if err != nil {
		return 1, err
	}
	if args[0] == "mutate" {
		return 0, mutateCode(ctx, repo, args[1:])
	}
	if args[0] == "fuzz" {
		return 0, fuzzAll(ctx, repo, args[1:])
	}
	if args[0] == "run" {
		if len(args) < 3 || args[1] != "--" {
			return 2, errors.New("usage: devstack run -- CMD ARGS")
		}
		return stack.Run(ctx, repo, os.Stderr, args[2:])
	}
	s, err := stack.Open(repo, filepath.Join(repo, ".dev"), false, os.Stdout)
	if err != nil {
		return 1, err
	}
	switch args[0] {
	case "up":
		return 0, up(ctx, s)
	case "down":
		return 0, down(ctx, s)
	case "status":
		return 0, status(s, args[1:])
	case "clean":
		return 0, clean(ctx, s)
	case "demo":
		return 0, demo.Run(ctx, s)
	default:
		fmt.Fprint(os.Stderr, usage)
		return 2, fmt.Errorf("unknown command %q", args[0])
	}
}

func expectOutput(ctx context.Context, args []string) (int, error) {
	split := slices.Index(args, "--")
	if split < 1 || split == len(args)-1 {
		return 2, errors.New("usage: devstack expect RE... -- CMD ARGS")
	}
	return expect.Run(ctx, os.Stdout, args[:split], args[split+1:])
}

func fuzzAll(ctx context.Context, repo string, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: devstack fuzz TIME [RE]")
	}
	lasts, err := time.ParseDuration(args[0])
	if err != nil || lasts <= 0 {
		return fmt.Errorf("time %q: use a duration such as 1h or 90s", args[0])
	}
	only, err := regexp.Compile(strings.Join(args[1:], ""))
	if err != nil {
		return err
	}
	return fuzz.Runner{Repo: repo, Out: os.Stdout, Time: lasts}.Run(ctx, only)
}

func mutateCode(ctx context.Context, repo string, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: devstack mutate TABLE [RE]")
	}
	only, err := regexp.Compile(strings.Join(args[1:], ""))
	if err != nil {
		return err
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	table, err := mutate.Parse(file)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return mutate.Runner{Repo: repo, Out: os.Stdout}.Run(ctx, table, only)
}

func up(ctx context.Context, s *stack.Stack) error {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	started, err := s.Up(ctx, true)
	if err != nil {
		return err
	}
	if !started {
		fmt.Println("already up")
	}
	fmt.Printf("console          %s\nTemporal Web UI  %s\nMinIO console    %s\naddresses and credentials are in %s\n",
		s.Get("STEVEDORE_API_URL"), s.Get("STEVEDORE_TEMPORAL_UI_URL"), s.Get("STEVEDORE_S3_CONSOLE_URL"), s.EnvFile())
	return nil
}

func clean(ctx context.Context, s *stack.Stack) error {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.Clean(ctx)
}

func down(ctx context.Context, s *stack.Stack) error {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err = errors.Join(s.Down(), stack.Sweep(ctx, s.Repo, os.Stdout)); err == nil {
		fmt.Println("all down")
	}
	return err
}

func status(s *stack.Stack, args []string) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	format := flags.String("o", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	rows := s.Status()
	if len(rows) == 0 && *format == "table" {
		fmt.Println("nothing has been started: run `make up`")
		return nil
	}
	return stack.Print(os.Stdout, rows, *format == "json")
}

// repository returns the root of the checkout: the parent of this program's folder.
func repository() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	repo := filepath.Dir(filepath.Dir(self))
	if _, err := os.Stat(filepath.Join(repo, "temporal-dev", "go.mod")); err != nil {
		return "", fmt.Errorf("%s is not in a checkout: build it with `make`: %w", self, err)
	}
	return repo, nil
}
