// Package fuzz runs every fuzz target of the repository for an equal share of the time.
// The go command fuzzes only one target of one package at a time, and does not report
// when no target matches.
package fuzz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Target is a fuzz target.
type Target struct {
	// Package is an argument of the go command, such as "./internal/sftp".
	Package string
	Name    string
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// Find returns the targets of the repository's main module, by package and position.
func Find(repo string) (all []Target, err error) {
	err = filepath.WalkDir(repo, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, notMain := os.Stat(filepath.Join(path, "go.mod"))
			if path != repo && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "bin" || notMain == nil) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(repo, filepath.Dir(path))
		for _, found := range declared.FindAllSubmatch(text, -1) {
			all = append(all, Target{Package: "./" + folder, Name: string(found[1])})
		}
		return err
	})
	return all, err
}

// Runner fuzzes.
type Runner struct {
	Repo string
	Out  io.Writer
	// Time is the total time, without building the tests.
	Time time.Duration
}

// leastTime is the minimum per target, because the go command needs time to start.
const leastTime = time.Second

// garbageShare is the divisor of the time for the garbage peer.
const garbageShare = 4

// Run fuzzes each target whose name matches only, and then runs the garbage peer. It
// returns an error with the failed targets. Their inputs are in testdata/fuzz of their
// packages, where `go test` runs them from then on. It is an error if nothing matches.
func (r Runner) Run(ctx context.Context, only *regexp.Regexp) error {
	targets, err := Find(r.Repo)
	if err != nil {
		return err
	}
	var chosen []Target
	for _, t := range targets {
		if only.MatchString(t.Name) {
			chosen = append(chosen, t)
		}
	}
	garbage := Target{Package: "./internal/sftp", Name: "TestGarbage"}
	if only.MatchString(garbage.Name) {
		chosen = append(chosen, garbage)
	}
	if len(chosen) == 0 {
		return fmt.Errorf("nothing was fuzzed: no target matches %q", only)
	}
	each := r.each(chosen, garbage)
	var failed []error
	for i, t := range chosen {
		lasts := each
		if t == garbage && len(chosen) > 1 {
			lasts = r.Time / garbageShare
		}
		r.say("%d of %d  %s %s for %s", i+1, len(chosen), t.Package, t.Name, lasts)
		if err := r.one(ctx, t, max(lasts, leastTime)); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", t.Package, t.Name, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(failed...)
}

// each returns the time of a fuzz target, which is not the garbage peer.
func (r Runner) each(chosen []Target, garbage Target) time.Duration {
	targets, left := time.Duration(len(chosen)), r.Time
	if chosen[len(chosen)-1] == garbage && targets > 1 {
		targets, left = targets-1, r.Time-r.Time/garbageShare
	}
	return (left / targets).Round(100 * time.Millisecond)
}

// The number of inputs in the output of the go command and of the garbage peer.
var (
	executed = regexp.MustCompile(`fuzz: elapsed: .* execs: (\d+)`)
	talked   = regexp.MustCompile(`garbage: (\d+) servers`)
)

// one runs one target and checks that it processed inputs.
func (r Runner) one(ctx context.Context, t Target, lasts time.Duration) error {
	args, counts := []string{"test", "-run", "^$", "-fuzz", "^" + t.Name + "$", "-fuzztime", lasts.String(), t.Package}, executed
	if strings.HasPrefix(t.Name, "Test") {
		args, counts = []string{"test", "-count=1", "-v", "-timeout", (lasts + time.Hour).String(), "-run", "^" + t.Name + "$", t.Package}, talked
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Dir = r.Repo
	cmd.Env = append(os.Environ(), "STEVEDORE_TEST_GARBAGE="+lasts.String())
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(r.Out, &output), r.Out
	if err := cmd.Run(); err != nil {
		return err
	}
	return tried(output.String(), counts)
}

// tried returns an error unless the last printed number is positive.
func tried(output string, counts *regexp.Regexp) error {
	all := counts.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return errors.New("no input was tried: check that the target exists")
	}
	if n, err := strconv.ParseInt(all[len(all)-1][1], 10, 64); err != nil || n == 0 {
		return errors.New("no input was tried")
	}
	return nil
}

func (r Runner) say(format string, args ...any) { _, _ = fmt.Fprintf(r.Out, format+"\n", args...) }
