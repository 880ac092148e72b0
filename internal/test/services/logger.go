package services

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// keptLines is the number of log lines that a failed test shows.
const keptLines = 300

// Logger returns a logger whose last lines are shown if the test fails.
func Logger(t testing.TB) *slog.Logger {
	t.Helper()
	kept := &lastLines{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of the log:\n%s", kept)
		}
	})
	return slog.New(slog.NewTextHandler(kept, nil))
}

// lastLines is a writer that keeps the last lines.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

// Write appends one line.
func (l *lastLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == keptLines {
		l.lines = l.lines[1:]
	}
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

// String returns the kept lines.
func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
