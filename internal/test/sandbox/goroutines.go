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

// goroutinesVariable names the file to which a worker process writes its goroutines on
// SIGUSR1.
const goroutinesVariable = "STEVEDORE_TEST_GOROUTINES"

// dumpGoroutines writes the goroutines on every SIGUSR1 until the process ends.
func dumpGoroutines() {
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

// goroutinesFile returns a new file name for the goroutines of a process.
func goroutinesFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "goroutines")
}

// Goroutines returns the number of goroutines of the process whose stacks contain the
// text, for example the path of a package.
func (p *Process) Goroutines(t testing.TB, text string) (n int) {
	t.Helper()
	_ = os.Remove(p.goroutines)
	p.Signal(syscall.SIGUSR1)
	var stacks []byte
	Eventually(t, func() bool {
		var err error
		stacks, err = os.ReadFile(p.goroutines)
		return err == nil
	}, Timeout, 5*time.Millisecond, "the worker process does not write its goroutines")
	require.Contains(t, string(stacks), "goroutine ")
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, text) {
			n++
		}
	}
	return n
}
