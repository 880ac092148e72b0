package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In the second round the machine had half its speed for all. Each round's own
// ratio is not moved by that, a ratio of medians (0.075) would be.
func TestRows_RatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	report := Report{Began: time.Unix(0, 0), Settings: Settings{Rounds: 3}}
	for round, speed := range []float64{1, 0.5, 1.1} {
		ours := []float64{20, 12, 15}[round]
		report.Runs = append(report.Runs,
			Run{Workload: SmallName, Contender: CeilingName, Round: round + 1, Rate: 400 * speed},
			Run{Workload: SmallName, Contender: RcloneName, Round: round + 1, Rate: 200 * speed, PeakBytes: 100 << 20},
			Run{Workload: SmallName, Contender: StevedoreName, Round: round + 1, Rate: ours, PeakBytes: 80 << 20})
	}
	report.Runs = append(report.Runs, Run{Workload: LargeName, Contender: StevedoreName, Round: 1, Rate: 50})

	rows := report.Rows()
	require.Len(t, rows, 4)
	ours := rows[2]
	assert.Equal(t, StevedoreName, ours.Contender)
	assert.InDelta(t, 15, ours.Rate, 1e-9)
	assert.InDelta(t, 12, ours.Least, 1e-9)
	assert.InDelta(t, 20, ours.Most, 1e-9)
	assert.InDelta(t, 0.05, ours.Of[CeilingName], 1e-9)
	assert.InDelta(t, 0.1, ours.Of[RcloneName], 1e-9)
	assert.EqualValues(t, 80<<20, ours.PeakBytes)
	assert.Zero(t, rows[3].Of[RcloneName], "there is no rclone to compare with")

	var table strings.Builder
	report.Print(&table)
	assert.Contains(t, table.String(), "| small files/s | stevedore | 15.0 | 12.0 to 20.0 | 0.050 |  | 0.10 |  | 80 MiB |")
}

// A report that lacks a workload, a round or a cost is no report.
func TestComplete(t *testing.T) {
	t.Parallel()
	whole := func() Report {
		costs := Costs{
			Files: 10, CPU: map[string]time.Duration{"worker": time.Second, "temporal": time.Second},
			Histories: Histories{Events: 70}, Commits: 80, WALSyncs: 90,
		}
		r := Report{Settings: Settings{Files: 10, Rounds: 2}}
		for round := range 2 {
			r.Runs = append(r.Runs, Run{Workload: SmallName, Contender: StevedoreName, Round: round + 1, Rate: 5, Costs: costs})
		}
		return r
	}
	report := whole()
	require.NoError(t, report.Complete())
	for name, c := range map[string]struct {
		spoil func(*Report)
		want  string
	}{
		"nothing chosen": {func(r *Report) { r.Settings.Files = 0 }, "no workload"},
		"no runs":        {func(r *Report) { r.Runs = nil }, "0 of 2 rounds"},
		"a round less":   {func(r *Report) { r.Runs = r.Runs[:1] }, "1 of 2 rounds"},
		"a workload":     {func(r *Report) { r.Settings.HugeMiB = 1 }, "huge MiB/s: 0 of 2"},
		"no rate":        {func(r *Report) { r.Runs[1].Rate = 0 }, "round 2: stevedore was not measured"},
		"no CPU time":    {func(r *Report) { r.Runs[0].CPU = nil }, "the costs of stevedore"},
		"no commits":     {func(r *Report) { r.Runs[0].Commits = 0 }, "the costs of stevedore"},
	} {
		spoiled := whole()
		c.spoil(&spoiled)
		assert.ErrorContains(t, spoiled.Complete(), c.want, name)
	}
}

func TestPrintCosts_ArePerFile(t *testing.T) {
	t.Parallel()
	report := Report{Runs: []Run{{Workload: SmallName, Contender: StevedoreName, Costs: Costs{
		Files: 100, CPU: map[string]time.Duration{"worker": 2 * time.Second, "temporal": time.Second},
		Histories: Histories{Events: 700}, TemporalWrites: 450, Commits: 600, WALSyncs: 550,
	}}}}
	var table strings.Builder
	report.printCosts(&table)
	assert.Contains(t, table.String(), "| small files/s | stevedore | 20.0 |  | 10.0 |  |  |  |  | 30.0 | 7.00 | 4.50 | 6.00 | 5.50 |")
}

func TestMedian(t *testing.T) {
	t.Parallel()
	assert.Zero(t, Median(nil))
	assert.InDelta(t, 2, Median([]float64{9, 1, 2}), 1e-9)
	assert.InDelta(t, 3, Median([]float64{9, 1, 2, 4}), 1e-9)
}

func TestLoadSettings_NamesTheBadVariable(t *testing.T) {
	t.Setenv("LOAD_FILES", "0")
	t.Setenv("LOAD_ROUNDS", "0")
	_, err := LoadSettings()
	assert.EqualError(t, err, `LOAD_ROUNDS="0" must be a whole number of at least 1`)
}
