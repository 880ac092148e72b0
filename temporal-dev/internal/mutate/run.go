package mutate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// testTimeout bounds the tests of one mutation. A mutation that makes them hang is
// killed, too.
const testTimeout = 10 * time.Minute

// Runner runs mutations of a repository. It changes no file: it passes mutated files to
// the go command as an overlay.
type Runner struct {
	Repo string
	Out  io.Writer

	// run runs the go command in the repository; tests replace it.
	run func(ctx context.Context, args ...string) (output string, err error)
}

// Run runs every mutation whose name matches only, and returns an error that names the
// survivors. It also returns an error if no name matches, if a test does not run or fails
// without mutation, or if a mutation does not build.
func (r Runner) Run(ctx context.Context, table []Mutation, only *regexp.Regexp) error {
	if r.run == nil {
		r.run = r.goCommand
	}
	table = slices.DeleteFunc(slices.Clone(table), func(m Mutation) bool { return !only.MatchString(m.Name) })
	if len(table) == 0 {
		return fmt.Errorf("nothing was mutated: no name matches %q", only)
	}
	if err := r.checkTests(ctx, table); err != nil {
		return err
	}
	var survivors []string
	for i, m := range table {
		began := time.Now()
		killer, err := r.try(ctx, m)
		if err != nil {
			return err
		}
		result := "killed by " + killer
		if killer == "" {
			result = "SURVIVED"
			survivors = append(survivors, fmt.Sprintf("  %s (%s)", m.Name, m.File))
		}
		r.say("%d of %d  %s: %s (%.0f s)", i+1, len(table), m.Name, result, time.Since(began).Seconds())
	}
	r.say("%d mutations, %d survived", len(table), len(survivors))
	if len(survivors) > 0 {
		return fmt.Errorf("survived:\n%s", strings.Join(survivors, "\n"))
	}
	return nil
}

// passed matches the output of a test that was not skipped.
var passed = regexp.MustCompile(`(?m)^--- PASS: `)

// checkTests runs the tests without mutation. They must run and pass.
func (r Runner) checkTests(ctx context.Context, table []Mutation) error {
	tried := map[string]bool{}
	for _, m := range table {
		if _, err := m.Apply(r.Repo); err != nil {
			return err
		}
		for _, test := range m.Tests {
			if tried[test] {
				continue
			}
			tried[test] = true
			output, err := r.test(ctx, "", test)
			if err != nil {
				return fmt.Errorf("without any mutation `go test %s` fails: %w\n%s", test, err, output)
			}
			if !passed.MatchString(output) {
				return fmt.Errorf("`go test %s`, which should kill %q, runs no test here", test, m.Name)
			}
		}
	}
	r.say("%d runs of tests pass without mutation", len(tried))
	return nil
}

// try returns the first test that fails with the mutation, or "" if it survives.
func (r Runner) try(ctx context.Context, m Mutation) (killer string, err error) {
	overlay, remove, err := r.overlay(m)
	if err != nil {
		return "", err
	}
	defer remove()
	if output, err := r.run(ctx, "build", "-o", os.DevNull, "-overlay", overlay, "./"+filepath.Dir(m.File)); err != nil {
		return "", fmt.Errorf("mutation %q does not build: %w\n%s", m.Name, err, output)
	}
	for _, test := range m.Tests {
		if _, err := r.test(ctx, overlay, test); err != nil {
			return test, ctx.Err()
		}
	}
	return "", ctx.Err()
}

// test runs `go test`. Worker processes are mutated, too, because they run the test
// binary.
func (r Runner) test(ctx context.Context, overlay, args string) (output string, err error) {
	argv := []string{"test", "-count=1", "-v", "-timeout", testTimeout.String()}
	if overlay != "" {
		argv = append(argv, "-overlay", overlay)
	}
	return r.run(ctx, append(argv, strings.Fields(args)...)...)
}

// overlay writes the mutated file and the overlay file for the go command.
func (r Runner) overlay(m Mutation) (path string, remove func(), err error) {
	text, err := m.Apply(r.Repo)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return "", nil, err
	}
	mutated := filepath.Join(dir, "mutated.go")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(r.Repo, m.File): mutated}})
	path = filepath.Join(dir, "overlay.json")
	err = errors.Join(err, os.WriteFile(mutated, []byte(text), 0o600), os.WriteFile(path, replace, 0o600))
	return path, func() { _ = os.RemoveAll(dir) }, err
}

func (r Runner) goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.Repo
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (r Runner) say(format string, args ...any) { _, _ = fmt.Fprintf(r.Out, format+"\n", args...) }
