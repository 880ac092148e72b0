// Package demo ingests sample files end to end on real services and verifies the result
// independently of stevedore.
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
	// slowFor is the time during which the slow file grows: longer than the first listing and the
	// settle time.
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
	before  map[string]bool // uuids of rows from before the demo
}

// Run runs the demo. It returns an error unless every expected file is completed, its
// object equals the source, and nothing else was ingested. With DEMO_EXIT=1 it stops
// everything afterwards, also after a failure.
func Run(ctx context.Context, s *stack.Stack) (err error) {
	ends := os.Getenv("DEMO_EXIT") == "1"
	if ends {
		defer func() { err = errors.Join(err, down(ctx, s)) }()
	}
	began := time.Now()
	r := &run{stack: s, cli: cli{s}, servers: map[string]server{}, samples: samples()}
	upAt, growing, err := r.start(ctx)
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
	if !ends {
		r.urls()
	}
	return nil
}

// start starts the stack and the SFTP servers, holding the stack's lock.
func (r *run) start(ctx context.Context) (upAt time.Time, growing <-chan error, err error) {
	unlock, err := r.stack.Lock(ctx)
	if err != nil {
		return upAt, nil, err
	}
	defer unlock()
	fmt.Println("starting the stack")
	started, err := r.stack.Up(ctx, true)
	if err != nil {
		return upAt, nil, err
	}
	if !started {
		fmt.Println("  already up")
	}
	upAt = time.Now()
	growing, err = r.prepare(ctx)
	return upAt, growing, err
}

// down stops everything, also after Ctrl-C.
func down(ctx context.Context, s *stack.Stack) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
	defer cancel()
	unlock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.Down()
}

// prepare starts the SFTP servers and writes their files.
func (r *run) prepare(ctx context.Context) (growing <-chan error, err error) {
	rows, err := r.cli.files(ctx)
	if err != nil {
		return nil, err
	}
	r.before = map[string]bool{}
	for _, row := range rows {
		r.before[row.FileUUID] = true
	}
	if len(rows) > 0 { // repeated demo: a new file must be ingested, and the old ones not again
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
		fmt.Printf("  %-7s sftp://%s@127.0.0.1:%d%s\n", name, v.user, v.port, v.root)
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
			err = nil // files are unfinished: the loop continues
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
			fmt.Println("  incoming/still-being-written.log is complete now")
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
	want, err := r.expected()
	return err == nil && !slices.ContainsFunc(want, func(v version) bool { return !v.completed(rows) })
}

// expected returns every file on the servers except checksum files. The samples and the
// slow file must exist.
func (r *run) expected() (all []version, err error) {
	samples := append(slices.Clone(r.samples), slow)
	for _, name := range slices.Sorted(maps.Keys(r.servers)) {
		found, err := listFiles(name, r.servers[name].root, samples)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// progress prints the number of files by status when it has changed.
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

// report prints the table of all files and the result of the check.
func (r *run) report(ctx context.Context) error {
	bucket, err := openBucket(ctx, r.stack) // before the rows, so that every object has a row
	if err != nil {
		return err
	}
	rows, err := r.cli.files(ctx)
	if err != nil {
		return err
	}
	printTable(rows)
	want, err := r.expected()
	if err != nil {
		return err
	}
	for i := range want {
		if err := want[i].hash(); err != nil {
			return err
		}
	}
	l := ledger{want: want, growing: slow.remotePath(r.servers[slow.server].root), before: r.before, rows: rows, objects: bucket.keys}
	ingested, wrong := l.check()
	for _, row := range ingested {
		if err := bucket.compare(ctx, row); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the check failed:\n%w", errors.Join(wrong...))
	}
	fmt.Printf("\nchecked: %d files, each with one row and one object, read back and equal to its source by SHA-256; nothing else was ingested\n", len(want))
	if len(r.before) > 0 {
		fmt.Printf("%d rows from an earlier run; no file was ingested twice\n", len(r.before))
	}
	return nil
}

// printTable prints the files. On a terminal it shortens hashes.
func printTable(rows []row) {
	digits := 64
	if isTerminal() {
		digits = 16
	}
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tPATH\tSIZE\tSHA-256\tSTATUS\tOBJECT KEY")
	for _, r := range rows {
		path := r.RemotePath
		if _, below, ok := strings.Cut(path, "/files/"); ok {
			path = below
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%.*s\t%s\t%s\n", r.Server, path, r.SizeBytes, digits, r.FileHash, r.Status, r.ObjectKey)
	}
	_ = table.Flush()
	if isTerminal() {
		fmt.Println("all 64 digits of the hashes: set -a; . .dev/env; set +a; bin/stevedore file list -o json")
	}
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
