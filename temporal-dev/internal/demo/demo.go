// Package demo does stevedore's main job end to end on real parts and proves
// the outcome itself.
package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"stevedore/temporal-dev/internal/stack"
)

const (
	// slowFor is how long the slow file grows: through the first listing, the
	// settle time and then some.
	slowFor = 12 * time.Second
	// deadline bounds the wait for the last file.
	deadline = 5 * time.Minute
)

// run is one demo.
type run struct {
	stack   *stack.Stack
	cli     cli
	servers map[string]server
	samples []sample
	before  int // rows in the ledger before
}

// Run does the demo. It returns an error unless every expected file is
// completed and its object is byte for byte the source.
func Run(ctx context.Context, s *stack.Stack) error {
	began := time.Now()
	fmt.Println("starting the stack")
	started, err := s.Up(ctx, true)
	if err != nil {
		return err
	}
	if !started {
		fmt.Println("  already up")
	}
	r := &run{stack: s, cli: cli{s}, servers: map[string]server{}, samples: samples()}
	if os.Getenv("DEMO_EXIT") == "1" {
		defer func() { _ = s.Down() }()
	}
	upAt := time.Now()
	growing, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	if err := r.ingest(ctx, growing); err != nil {
		return err
	}
	ingested := time.Since(upAt)
	if err := r.report(ctx); err != nil {
		return err
	}
	fmt.Printf("\nstack %.1f s, files %.1f s, check %.1f s\n", upAt.Sub(began).Seconds(), ingested.Seconds(),
		time.Since(upAt.Add(ingested)).Seconds())
	r.urls()
	return nil
}

// prepare starts the SFTP servers and writes their files.
func (r *run) prepare(ctx context.Context) (growing <-chan error, err error) {
	rows, err := r.cli.files(ctx)
	if err != nil {
		return nil, err
	}
	r.before = len(rows)
	if r.before > 0 { // another demo: show that new files come in while old ones do not again
		stamp := time.Now().UTC().Format("20060102-150405")
		r.samples = append(r.samples, sample{server: "acme", path: "rerun/" + stamp + "/fresh.csv", size: 5_000})
	}
	fmt.Println("starting two SFTP servers (OpenSSH) and writing their files")
	for _, name := range []string{"acme", "globex"} {
		v, err := startServer(ctx, r.stack, r.stack.SSHD(), name)
		if err != nil {
			return nil, err
		}
		r.servers[name] = v
	}
	for _, s := range r.samples {
		if err := s.write(r.servers[s.server].root); err != nil {
			return nil, fmt.Errorf("write sample %s: %w", s.path, err)
		}
	}
	if growing, err = slow.writeSlowly(r.servers[slow.server].root, slowFor); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.servers)) {
		v := r.servers[name]
		if err := r.cli.register(ctx, v); err != nil {
			return nil, err
		}
		fmt.Printf("  %-7s sftp://%s@127.0.0.1:%s%s\n", name, v.user, v.port, v.root)
	}
	return growing, nil
}

// ingest scans until every expected file is completed.
func (r *run) ingest(ctx context.Context, growing <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	fmt.Println("scanning; incoming/still-being-written.log is still being written")
	scans := make(chan error, 1)
	scan := func() {
		_, code, err := r.cli.run(ctx, "scan", "--wait")
		if code == exitRetryable {
			err = nil // something is still open: the loop goes on
		}
		scans <- err
	}
	go scan()
	last, written := "", false
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all files are completed after %s: see `bin/stevedore file list` and %s", deadline, r.stack.Log("worker"))
		case err := <-growing:
			if err != nil {
				return fmt.Errorf("write the slow file: %w", err)
			}
			written, growing = true, nil
			fmt.Println("  incoming/still-being-written.log is whole now")
		case err := <-scans:
			if err != nil {
				return err
			}
			if written && r.complete(ctx) {
				return nil
			}
			go scan()
		case <-time.After(time.Second):
			last = r.progress(ctx, last)
		}
	}
}

// complete reports whether each expected file has a completed row of its size.
func (r *run) complete(ctx context.Context) bool {
	rows, err := r.cli.files(ctx)
	if err != nil {
		return false
	}
	for _, s := range append(slices.Clone(r.samples), slow) {
		if !taken(r.servers[s.server], s, rows) {
			return false
		}
	}
	return true
}

// progress prints how many files are in which state, when that has changed.
func (r *run) progress(ctx context.Context, last string) string {
	rows, err := r.cli.files(ctx)
	if err != nil {
		return last
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.Status]++
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[status], status))
	}
	now := strings.Join(parts, ", ")
	switch {
	case now == last:
	case isTerminal():
		fmt.Printf("\r\033[K  %s", now)
	default:
		fmt.Println("  " + now)
	}
	return now
}

// report prints the table of every file and the verdict of the check.
func (r *run) report(ctx context.Context) error {
	rows, err := r.cli.files(ctx)
	if err != nil {
		return err
	}
	printTable(rows)
	check, err := newChecker(ctx, r.stack)
	if err != nil {
		return err
	}
	var wrong []error
	expected := append(slices.Clone(r.samples), slow)
	for _, s := range expected {
		if err := check.check(ctx, r.servers[s.server], s, rows); err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%s: %w", s.server, s.path, err))
		}
	}
	for _, key := range check.strays(rows) {
		wrong = append(wrong, fmt.Errorf("object %s belongs to no file", key))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the check failed:\n%w", errors.Join(wrong...))
	}
	fmt.Printf("\nchecked: %d files, each with one row and one object, read back and equal to its source by SHA-256\n", len(expected))
	if r.before > 0 {
		fmt.Printf("%d rows were there from an earlier run; nothing was doubled\n", r.before)
	}
	return nil
}

func printTable(rows []row) {
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tPATH\tSIZE\tSHA-256\tSTATUS\tOBJECT KEY")
	for _, r := range rows {
		path := r.RemotePath
		if _, below, ok := strings.Cut(path, "/files/"); ok {
			path = below
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%.16s\t%s\t%s\n", r.Server, path, r.SizeBytes, r.FileHash, r.Status, r.ObjectKey)
	}
	_ = table.Flush()
}

func (r *run) urls() {
	s := r.stack
	fmt.Printf(`
console          %s  (log in with STEVEDORE_TOKEN)
Temporal Web UI  %s
MinIO console    %s  (user %s; password: STEVEDORE_S3_SECRET_KEY)
All addresses and credentials: %s. Stop everything with: make down
`, s.Get("STEVEDORE_API_URL"), s.Get("STEVEDORE_TEMPORAL_UI_URL"), s.Get("STEVEDORE_S3_CONSOLE_URL"),
		s.Get("STEVEDORE_S3_ACCESS_KEY"), s.EnvFile())
}
