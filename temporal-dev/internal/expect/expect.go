// Package expect runs a command and checks what it printed: a measurement that
// measured nothing exits with 0, and only its output shows it.
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
	"strings"
	"syscall"
)

// Run runs the command, copies its standard output to out and returns its exit
// code. The error names the patterns that no line of the output matches. When
// ctx ends, the command gets SIGTERM and is waited for.
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
		return max(exit.ExitCode(), 1), nil // it has said why itself
	}
	if err != nil {
		return 1, err
	}
	if len(check.missing) > 0 {
		return 1, fmt.Errorf("the command passed, but what it is for did not run: no line of its output matches %s", check.missing)
	}
	return 0, nil
}

// lines crosses off the patterns that a line matches.
type lines struct {
	out     io.Writer
	rest    []byte
	missing []*regexp.Regexp
}

// Write passes the bytes on and checks the lines that end in them.
func (l *lines) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return l.out.Write(text)
		}
		l.cross(string(line))
		l.rest = rest
	}
}

// end checks a last line without a line feed.
func (l *lines) end() { l.cross(string(l.rest)) }

func (l *lines) cross(line string) {
	line = strings.TrimSuffix(line, "\r")
	kept := l.missing[:0]
	for _, pattern := range l.missing {
		if !pattern.MatchString(line) {
			kept = append(kept, pattern)
		}
	}
	l.missing = kept
}
