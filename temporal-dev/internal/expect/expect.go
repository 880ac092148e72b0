// Package expect runs a command and checks its output. A measurement that was skipped
// exits with 0, and only its output reveals that.
package expect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Run runs the command, copies its standard output to out and returns its exit code. It
// is an error if a pattern matches no line of the output. When ctx ends, the command
// gets SIGTERM.
func Run(ctx context.Context, out io.Writer, patterns, argv []string) (code int, err error) {
	check := &lines{out: out}
	for _, text := range patterns {
		pattern, err := regexp.Compile(text)
		if err != nil {
			return 2, err
		}
		check.missing = append(check.missing, pattern)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, check, os.Stderr
	err = cmd.Run()
	check.end()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil // the command has printed the reason
	}
	if err != nil {
		return 1, err
	}
	if len(check.missing) > 0 {
		return 1, fmt.Errorf("the command passed, but what it should measure did not run: no line of its output matches %s", check.missing)
	}
	return 0, nil
}

// lines removes patterns from missing when a line matches.
type lines struct {
	out     io.Writer
	rest    []byte
	missing []*regexp.Regexp
}

// Write forwards the bytes and checks complete lines.
func (l *lines) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, complete := bytes.Cut(l.rest, []byte("\n"))
		if !complete {
			return l.out.Write(text)
		}
		l.check(string(line))
		l.rest = rest
	}
}

// end checks a last line without a line feed.
func (l *lines) end() { l.check(string(l.rest)) }

func (l *lines) check(line string) {
	line = strings.TrimSuffix(line, "\r")
	l.missing = slices.DeleteFunc(l.missing, func(pattern *regexp.Regexp) bool { return pattern.MatchString(line) })
}
