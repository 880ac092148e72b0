package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// contender runs a workload, checks the result and fills in run.
type contender struct {
	name string
	run  func(t *testing.T, w Workload, run *Run)
}

// TestLoad measures all contenders in turns, see `make load`.
func TestLoad(t *testing.T) {
	if os.Getenv("STEVEDORE_TEST_LOAD") == "" {
		t.Skip("a measurement: make load")
	}
	settings, err := LoadSettings()
	require.NoError(t, err)
	requireDurable(t)
	report := &Report{Began: time.Now(), CPUs: runtime.NumCPU(), Settings: settings}
	for _, name := range settings.Chosen() {
		// In a subtest, so that its files are removed before the next ones are created.
		t.Run(strings.Fields(name)[0], func(t *testing.T) { measure(t, report, newOf(t, name, settings)) })
	}
	require.False(t, t.Failed(), "a wrong result is not measured")
	report.Print(os.Stdout)
	if settings.JSON != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(settings.JSON, append(text, '\n'), 0o644))
	}
	require.NoError(t, report.Complete())
}

func newOf(t *testing.T, name string, s Settings) Workload {
	t.Helper()
	switch name {
	case SmallName:
		return NewSmall(t, s.Files)
	case LargeName:
		return NewLarge(t, s.LargeMiB)
	case HugeName:
		return NewHuge(t, s.HugeMiB)
	default:
		return NewMix(t, s.MixFiles, s.MixMiB)
	}
}

// measure runs all contenders in each round, in the order of inOrder.
func measure(t *testing.T, report *Report, w Workload) {
	t.Helper()
	field := contenders(t, w, report.Settings)
	for round := range report.Settings.Rounds {
		for _, c := range inOrder(field, round) {
			run := Run{Workload: w.Name, Contender: c.name, Round: round + 1, LoadAverage: loadAverage()}
			ran := false
			passed := t.Run(fmt.Sprintf("round %d %s", round+1, c.name), func(t *testing.T) {
				ran = true
				c.run(t, w, &run)
				require.Positive(t, run.Took, "nothing was measured")
			})
			if !passed {
				t.FailNow() // a wrong result is not measured
			}
			if !ran {
				continue // excluded by -run
			}
			report.Runs = append(report.Runs, run)
			fmt.Printf("%-16s round %d  %-28s %8.1f in %6.2f s, load average %.1f\n",
				w.Name, run.Round, c.name, run.Rate, run.Took.Seconds(), run.LoadAverage)
		}
	}
}

// inOrder returns all contenders in the order of a round. Every second round reverses the
// order, so that a trend in the load of the machine affects all contenders equally.
func inOrder(field []contender, round int) []contender {
	first := (round / 2) % len(field)
	order := slices.Concat(field[first:], field[:first])
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func contenders(t *testing.T, w Workload, settings Settings) []contender {
	t.Helper()
	program, err := filepath.Abs("../bin/rclone")
	require.NoError(t, err)
	field := []contender{
		{CeilingName, peer(func(ctx context.Context, _ *testing.T, w Workload, s3 services.S3) (Usage, error) {
			return Usage{}, Ceiling(ctx, w, s3)
		})},
		{RcloneName, peer(func(ctx context.Context, t *testing.T, w Workload, s3 services.S3) (Usage, error) {
			return Rclone{Program: program, Dir: t.TempDir()}.Copy(ctx, w, s3)
		})},
		{StevedoreName, stevedore},
	}
	if w.Name != SmallName {
		return field
	}
	field = append(field, contender{EngineName, engine})
	if settings.HashFiles > 0 {
		field = append(field, contender{HashingName, func(t *testing.T, w Workload, run *Run) {
			peer(func(ctx context.Context, t *testing.T, w Workload, s3 services.S3) (Usage, error) {
				return Rclone{Program: program, Dir: t.TempDir(), Hashing: true}.Copy(ctx, w, s3)
			})(t, w.Part(settings.HashFiles), run)
		}})
	}
	return field
}

// peer is a contender that copies into a bucket under the servers' names.
func peer(copyAll func(context.Context, *testing.T, Workload, services.S3) (Usage, error)) func(*testing.T, Workload, *Run) {
	return func(t *testing.T, w Workload, run *Run) {
		s3 := services.Bucket(t)
		meter := startMeter(t, w, 0)
		began := time.Now()
		used, err := copyAll(t.Context(), t, w, s3)
		run.Took, run.PeakBytes = time.Since(began), used.PeakBytes
		require.NoError(t, err)
		run.Files, run.CPU = w.Files(), meter.cpu(t)
		if used.CPU > 0 { // by processes of its own
			run.CPU["client"] = used.CPU
		}
		run.Rate = w.Units / run.Took.Seconds()
		require.NoError(t, w.Check(t.Context(), s3))
		require.NoError(t, Empty(t.Context(), s3))
	}
}

// loadAverage returns the load average of the last minute; 0 on systems without
// /proc/loadavg.
func loadAverage() (average float64) {
	text, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(text), &average)
	return average
}
