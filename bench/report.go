package bench

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Run is what one contender did with one workload in one round.
type Run struct {
	Workload  string        `json:"workload"`
	Contender string        `json:"contender"`
	Round     int           `json:"round"`
	Took      time.Duration `json:"took_ns"`
	// Rate is in the workload's unit per second.
	Rate float64 `json:"rate"`
	// PeakBytes is the most memory its processes had, added up; 0 is not measured.
	PeakBytes int64 `json:"peak_bytes,omitempty"`
	// LoadAverage is the machine's over the last minute, when the run began.
	LoadAverage float64 `json:"load_average"`
	// LedgerEvents and HistoryEvents are on record of one file, for whom keeps
	// records: in the ledger and in its workflow's history.
	LedgerEvents  int `json:"ledger_events,omitempty"`
	HistoryEvents int `json:"history_events,omitempty"`
	// Steps is the median time between the steps of a file, for whom keeps a ledger.
	Steps []Step `json:"steps,omitempty"`
}

// Step is the time from the event before to this one, median over all files.
type Step struct {
	Event string        `json:"event"`
	Took  time.Duration `json:"took_ns"`
}

// Report is everything that was measured.
type Report struct {
	Began    time.Time `json:"began"`
	CPUs     int       `json:"cpus"`
	Settings Settings  `json:"settings"`
	Runs     []Run     `json:"runs"`
}

// Row is one line of the table.
type Row struct {
	Workload, Contender string
	// Rate is the median of all rounds, Least and Most are the outer ones.
	Rate, Least, Most float64
	// OfCeiling and OfPeer are the medians of each round's own ratio: what else
	// the machine did in a round touches both sides of it.
	OfCeiling, OfPeer float64
	PeakBytes         int64
}

// Rows sums up the rounds in the order in which contenders first ran.
func (r *Report) Rows() (rows []Row) {
	type key struct{ workload, contender string }
	var order []key
	runs := map[key][]Run{}
	for _, run := range r.Runs {
		k := key{run.Workload, run.Contender}
		if runs[k] == nil {
			order = append(order, k)
		}
		runs[k] = append(runs[k], run)
	}
	for _, k := range order {
		mine := runs[k]
		rates, peaks := make([]float64, len(mine)), make([]float64, len(mine))
		for i, run := range mine {
			rates[i], peaks[i] = run.Rate, float64(run.PeakBytes)
		}
		rows = append(rows, Row{
			Workload: k.workload, Contender: k.contender,
			Rate: Median(rates), Least: slices.Min(rates), Most: slices.Max(rates),
			OfCeiling: ratio(mine, runs[key{k.workload, CeilingName}]), OfPeer: ratio(mine, runs[key{k.workload, RcloneName}]),
			PeakBytes: int64(Median(peaks)),
		})
	}
	return rows
}

// ratio is the median of the ratios of runs of the same round; 0 without any.
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

// Median returns the middle of the values, 0 of none.
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
	fmt.Fprintln(w, "| workload | who | median | least to most | of the ceiling | of rclone | peak memory |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|")
	for _, row := range r.Rows() {
		fmt.Fprintf(w, "| %s | %s | %.1f | %.1f to %.1f | %s | %s | %s |\n", row.Workload, row.Contender,
			row.Rate, row.Least, row.Most, times(row.OfCeiling), times(row.OfPeer), mebibytes(row.PeakBytes))
	}
	r.printSteps(w)
}

// loads returns the least and the greatest load average of all runs.
func (r *Report) loads() (low, high float64) {
	for i, run := range r.Runs {
		if i == 0 {
			low, high = run.LoadAverage, run.LoadAverage
		}
		low, high = min(low, run.LoadAverage), max(high, run.LoadAverage)
	}
	return low, high
}

// printSteps shows where a file's time goes, by the last run that tells.
func (r *Report) printSteps(w io.Writer) {
	last := map[string]Run{}
	for _, run := range r.Runs {
		if len(run.Steps) > 0 {
			last[run.Workload] = run
		}
	}
	for _, workload := range Workloads {
		run, ok := last[workload]
		if !ok {
			continue
		}
		fmt.Fprintf(w, "\n%s, %s, round %d: %d events of a file in the ledger, %d in its workflow's history; median time before each:\n\n",
			workload, run.Contender, run.Round, run.LedgerEvents, run.HistoryEvents)
		for _, step := range run.Steps {
			fmt.Fprintf(w, "  %-20s %8.0f ms\n", step.Event, step.Took.Seconds()*1000)
		}
	}
}

func times(ratio float64) string {
	switch {
	case ratio == 0:
		return ""
	case ratio < 0.1:
		return fmt.Sprintf("%.3f", ratio)
	}
	return fmt.Sprintf("%.2f", ratio)
}

func mebibytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
