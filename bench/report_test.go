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
	assert.InDelta(t, 0.05, ours.OfCeiling, 1e-9)
	assert.InDelta(t, 0.1, ours.OfPeer, 1e-9)
	assert.EqualValues(t, 80<<20, ours.PeakBytes)
	assert.Zero(t, rows[3].OfPeer, "nobody to compare with")

	var table strings.Builder
	report.Print(&table)
	assert.Contains(t, table.String(), "| small files/s | stevedore | 15.0 | 12.0 to 20.0 | 0.050 | 0.10 | 80 MiB |")
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
	assert.EqualError(t, err, `LOAD_ROUNDS="0" must be a whole number from 1 on`)
}
