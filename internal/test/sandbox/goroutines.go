package sandbox

import (
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// goroutinesVariable names the file into which a worker process writes its
// goroutines when it gets SIGUSR1.
const goroutinesVariable = "STEVEDORE_TEST_GOROUTINES"

// tellGoroutines does so until the process ends.
func tellGoroutines() {
	path := os.Getenv(goroutinesVariable)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			draft, err := os.Create(path + ".draft")
			if err != nil {
				continue
			}
			_ = pprof.Lookup("goroutine").WriteTo(draft, 2)
			_ = draft.Close()
			_ = os.Rename(draft.Name(), path)
		}
	}()
}

// goroutinesFile is a new process's file for its goroutines.
func goroutinesFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "goroutines")
}

// Goroutines counts those goroutines of the process in whose stacks the text
// occurs, e.g. the path of a package.
func (p *Process) Goroutines(text string) (n int) {
	p.t.Helper()
	_ = os.Remove(p.goroutines)
	p.Signal(syscall.SIGUSR1)
	var stacks []byte
	Eventually(p.t, func() bool {
		var err error
		stacks, err = os.ReadFile(p.goroutines)
		return err == nil
	}, Timeout, 5*time.Millisecond, "the worker process does not tell its goroutines")
	require.Contains(p.t, string(stacks), "goroutine ")
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, text) {
			n++
		}
	}
	return n
}
