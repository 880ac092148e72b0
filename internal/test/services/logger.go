package services

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// keptLines bounds what a test that failed tells of its parts' logs.
const keptLines = 300

// Logger keeps the last lines that are written to it and shows them when the
// test has failed: what a worker saw is not to be guessed afterwards.
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

// lastLines is a writer of lines that forgets the first ones.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

// Write takes one line.
func (l *lastLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == keptLines {
		l.lines = l.lines[1:]
	}
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

// String returns what is kept.
func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
