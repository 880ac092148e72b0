package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Run is the result of one contender with one workload in one round.
type Run struct {
	Workload  string        `json:"workload"`
	Contender string        `json:"contender"`
	Round     int           `json:"round"`
	Took      time.Duration `json:"took_ns"`
	// Rate is in the workload's unit per second.
	Rate float64 `json:"rate"`
	// PeakBytes is the sum of the peak memory of its processes; 0 is not measured.
	PeakBytes int64 `json:"peak_bytes,omitempty"`
	// LoadAverage is the machine's load average of one minute at the start of the run.
	LoadAverage float64 `json:"load_average"`
	// LedgerEvents and HistoryEvents are the numbers of events of one file in the ledger
	// and in its workflow's history; stevedore only.
	LedgerEvents  int `json:"ledger_events,omitempty"`
	HistoryEvents int `json:"history_events,omitempty"`
	Costs
	// Steps are the median times between the steps of a file; stevedore only.
	Steps []Step `json:"steps,omitempty"`
}

// Step is the time since the previous event, as the median of all files.
type Step struct {
	Event string        `json:"event"`
	Took  time.Duration `json:"took_ns"`
}

// Report is the result of a measurement.
type Report struct {
	Began    time.Time `json:"began"`
	CPUs     int       `json:"cpus"`
	Settings Settings  `json:"settings"`
	Runs     []Run     `json:"runs"`
}

// Row is one line of the table.
type Row struct {
	Workload, Contender string
	// Rate is the median of all rounds, Least the minimum and Most the maximum.
	Rate, Least, Most float64
	// Of holds, by contender, the median of the ratios to it within each round. Other
	// load on the machine affects both values of a ratio.
	Of        map[string]float64
	PeakBytes int64
}

// compared are the contenders with a column of ratios, in the order of the table.
var compared = []string{CeilingName, EngineName, RcloneName, HashingName}

// Rows summarizes the rounds, in the order of the contenders' first runs.
func (r *Report) Rows() (rows []Row) {
	order, runs := r.grouped()
	for _, k := range order {
		mine := runs[k]
		rates, peaks := make([]float64, len(mine)), make([]float64, len(mine))
		for i, run := range mine {
			rates[i], peaks[i] = run.Rate, float64(run.PeakBytes)
		}
		rows = append(rows, Row{
			Workload: k.workload, Contender: k.contender,
			Rate: Median(rates), Least: slices.Min(rates), Most: slices.Max(rates),
			Of: map[string]float64{}, PeakBytes: int64(Median(peaks)),
		})
		for _, other := range compared {
			rows[len(rows)-1].Of[other] = ratio(mine, runs[key{k.workload, other}])
		}
	}
	return rows
}

// key identifies the runs of one contender with one workload.
type key struct{ workload, contender string }

// grouped returns the runs by key, and the keys in order of first appearance.
func (r *Report) grouped() (order []key, runs map[key][]Run) {
	runs = map[key][]Run{}
	for _, run := range r.Runs {
		k := key{run.Workload, run.Contender}
		if runs[k] == nil {
			order = append(order, k)
		}
		runs[k] = append(runs[k], run)
	}
	return order, runs
}

// Complete returns an error unless every chosen workload was measured, every
// run has a rate, and stevedore's has its costs.
func (r *Report) Complete() error {
	chosen := r.Settings.Chosen()
	if len(chosen) == 0 {
		return errors.New("no workload: all of LOAD_FILES, LOAD_LARGE_MIB, LOAD_HUGE_MIB and LOAD_MIX_FILES are 0")
	}
	_, runs := r.grouped()
	for _, workload := range chosen {
		if n := len(runs[key{workload, StevedoreName}]); n != r.Settings.Rounds {
			return fmt.Errorf("%s: %d of %d rounds of stevedore were measured", workload, n, r.Settings.Rounds)
		}
	}
	for _, run := range r.Runs {
		if run.Rate <= 0 || run.Files <= 0 {
			return fmt.Errorf("%s round %d: %s was not measured", run.Workload, run.Round, run.Contender)
		}
		if run.Contender == StevedoreName && (run.CPU["worker"] <= 0 || run.CPU["temporal"] <= 0 || run.Histories.Events <= 0 || run.Commits <= 0 || run.WALSyncs <= 0) {
			return fmt.Errorf("%s round %d: the costs of stevedore were not measured: %+v", run.Workload, run.Round, run.Costs)
		}
	}
	return nil
}

// ratio returns the median of the ratios of runs of the same round; 0 without any.
func ratio(mine, theirs []Run) float64 {
	var ratios []float64
	for _, m := range mine {
		for _, t := range theirs {
			if m.Round == t.Round && t.Rate > 0 {
				ratios = append(ratios, m.Rate/t.Rate)
			}
		}
	}
	return Median(ratios)
}

// Median returns the median of the values; 0 without any.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Print writes the table as Markdown.
func (r *Report) Print(w io.Writer) {
	low, high := r.loads()
	fmt.Fprintf(w, "\n%s, %d CPUs, load averages from %.1f to %.1f, %d rounds\n\n",
		r.Began.Format(time.DateOnly), r.CPUs, low, high, r.Settings.Rounds)
	r.printRates(w)
	r.printCosts(w)
	r.printSteps(w)
}
