package bench

import (
	"fmt"
	"io"
	"strings"
)

// printRates prints the table of rates and ratios.
func (r *Report) printRates(w io.Writer) {
	fmt.Fprintf(w, "| workload | contender | median | minimum to maximum | of %s | peak memory |\n", strings.Join(compared, " | of "))
	fmt.Fprintf(w, "|---|---|---:|---:|%s---:|\n", strings.Repeat("---:|", len(compared)))
	for _, row := range r.Rows() {
		var ratios []string
		for _, other := range compared {
			ratios = append(ratios, times(row.Of[other]))
		}
		fmt.Fprintf(w, "| %s | %s | %.1f | %.1f to %.1f | %s | %s |\n", row.Workload, row.Contender,
			row.Rate, row.Least, row.Most, strings.Join(ratios, " | "), mebibytes(row.PeakBytes))
	}
	r.printNotes(w)
}

// printNotes prints the differences that matter when comparing rows.
func (r *Report) printNotes(w io.Writer) {
	printed := map[string]bool{}
	for _, run := range r.Runs {
		note := ""
		switch {
		case run.Contender == HashingName:
			note = fmt.Sprintf("%s copies %d of the small files: it runs md5sum on the server for each.", HashingName, run.Files)
		case run.Contender == EngineName:
			note = fmt.Sprintf("%s: empty workflows per second, not files; %d of %d were started eagerly.", EngineName, run.Histories.Eager, run.Files)
		case run.Contender == StevedoreName && run.Histories.Eager < run.Files:
			note = fmt.Sprintf("%s, %s: %d of %d workflows were started eagerly.", run.Workload, StevedoreName, run.Histories.Eager, run.Files)
		}
		if note != "" && !printed[note] {
			printed[note] = true
			fmt.Fprintf(w, "\n%s\n", note)
		}
	}
}

// loads returns the minimum and maximum load average of all runs.
func (r *Report) loads() (low, high float64) {
	for i, run := range r.Runs {
		if i == 0 {
			low, high = run.LoadAverage, run.LoadAverage
		}
		low, high = min(low, run.LoadAverage), max(high, run.LoadAverage)
	}
	return low, high
}

// printSteps prints the times between the steps of a file, from the last run with steps.
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
