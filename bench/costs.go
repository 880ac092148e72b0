package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Costs are the resources that a run used in total.
type Costs struct {
	// Files is the number of files, or of workflows, of the run.
	Files int `json:"files"`
	// CPU is the processor time by process group: the services of the stack, "sshd", and
	// "worker" for stevedore's process or "client" for another contender's.
	CPU map[string]time.Duration `json:"cpu_ns"`
	// TemporalWrites is the number of writing requests of the Temporal server to its
	// database, see PersistenceWrites.
	TemporalWrites float64 `json:"temporal_writes,omitempty"`
	// Histories describes the workflows of the run.
	Histories Histories `json:"histories"`
	// Commits is the number of committed transactions in the ledger.
	Commits int64 `json:"commits,omitempty"`
	// WALSyncs is the number of syncs of PostgreSQL's log (pg_stat_wal.wal_sync).
	WALSyncs int64 `json:"wal_syncs,omitempty"`
}

// Histories describes the workflows of a run.
type Histories struct {
	// Workflows is the number of workflows, including scans.
	Workflows int `json:"workflows,omitempty"`
	// Events is the number of their history events.
	Events int `json:"events,omitempty"`
	// Eager is the number of eager starts: the response to the start contained the first
	// workflow task.
	Eager int `json:"eager,omitempty"`
}

// groups are the process groups in the order of the table.
var groups = []string{"worker", "client", "temporal", "postgres", "minio", "rabbitmq", "sshd"}

// printCosts prints the costs per file, as the median of the rounds.
func (r *Report) printCosts(w io.Writer) {
	fmt.Fprintf(w, "\nPer file: milliseconds of CPU by process group, and writes. CPU times have a resolution of 10 ms over all files.\n\n")
	fmt.Fprintf(w, "| workload | contender | %s | all | history events | Temporal writes | PostgreSQL commits | WAL syncs |\n", strings.Join(groups, " | "))
	fmt.Fprintf(w, "|---|---|%s---:|---:|---:|---:|---:|\n", strings.Repeat("---:|", len(groups)))
	order, runs := r.grouped()
	for _, k := range order {
		perFile := func(of func(Run) float64) float64 {
			var values []float64
			for _, run := range runs[k] {
				values = append(values, of(run)/float64(max(run.Files, 1)))
			}
			return Median(values)
		}
		var cells []string
		for _, group := range groups {
			cells = append(cells, figure(perFile(func(run Run) float64 { return milliseconds(run.CPU[group]) })))
		}
		for _, of := range []func(Run) float64{
			func(run Run) (all float64) {
				for _, took := range run.CPU {
					all += milliseconds(took)
				}
				return all
			},
			func(run Run) float64 { return float64(run.Histories.Events) },
			func(run Run) float64 { return run.TemporalWrites },
			func(run Run) float64 { return float64(run.Commits) },
			func(run Run) float64 { return float64(run.WALSyncs) },
		} {
			cells = append(cells, figure(perFile(of)))
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", k.workload, k.contender, strings.Join(cells, " | "))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// figure is empty for 0.
func figure(value float64) string {
	switch {
	case value == 0:
		return ""
	case value < 10:
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.1f", value)
}
