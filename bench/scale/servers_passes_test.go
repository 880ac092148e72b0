package scale_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"stevedore/bench/scale"
	"stevedore/workflows"
)

const (
	// startWithin is the time in which all scans of a pass must have started.
	startWithin = 10 * time.Second
	// intervalGrace is the maximum delay of a healthy server's listing beyond its
	// interval.
	intervalGrace = 15 * time.Second
)

// execution is a workflow as listed by Temporal.
type execution struct {
	id, run         string
	started, closed time.Time // closed is zero while it runs
}

// executions returns this test's workflows of a type, ordered by start.
func (f *fleet) executions(t *testing.T, workflowType string) (all []execution) {
	t.Helper()
	query := `TaskQueue = "` + f.Queue + `" AND WorkflowType = "` + workflowType + `"`
	for token := []byte(nil); ; {
		page, err := f.Temporal.ListWorkflow(f.Context(t), &workflowservice.ListWorkflowExecutionsRequest{
			Query: query, PageSize: 1000, NextPageToken: token,
		})
		require.NoError(t, err)
		for _, info := range page.GetExecutions() {
			all = append(all, executionOf(info))
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			slices.SortFunc(all, func(a, b execution) int { return a.started.Compare(b.started) })
			return all
		}
	}
}

func executionOf(info *workflowpb.WorkflowExecutionInfo) execution {
	e := execution{id: info.GetExecution().GetWorkflowId(), run: info.GetExecution().GetRunId(), started: info.GetStartTime().AsTime()}
	if closed := info.GetCloseTime(); closed != nil {
		e.closed = closed.AsTime()
	}
	return e
}

// requirePassesInTime checks that each pass starts or signals the scans of all servers,
// and that the last scan starts in time.
func (f *fleet) requirePassesInTime(t *testing.T) {
	t.Helper()
	scans := f.executions(t, workflows.NameDiscoverFiles)
	for i, p := range f.passes(t) {
		var last time.Duration
		started := 0
		for _, s := range scans {
			if !s.started.Before(p.began) && (p.next.IsZero() || s.started.Before(p.next)) {
				last = max(last, s.started.Sub(p.began))
				started++
			}
		}
		scale.Figure(t, "pass %d over %d servers (%d silent, %d slow), interval %s: %d scans started, the last after %s; %d asked, %d failed",
			i+1, f.size.servers, f.size.silent, f.size.slow, f.size.interval, started, last.Round(10*time.Millisecond),
			p.summary.AlreadyRunning, p.summary.Failed)
		assert.Zero(t, p.summary.Failed)
		if i == 0 || scale.Full() { // with a short interval, servers that were listed late are not due in the next pass
			assert.GreaterOrEqual(t, p.summary.Started+p.summary.AlreadyRunning, len(f.healthy), "healthy servers were left out")
		}
		if scale.Full() {
			assert.LessOrEqual(t, last, startWithin, "pass %d", i+1)
		}
	}
}

// requireIntervals checks that the healthy servers are listed at their interval, even
// while the worker was killed.
func (f *fleet) requireIntervals(t *testing.T) {
	t.Helper()
	var gaps []time.Duration
	for _, begun := range f.listings(t) {
		for i := 1; i < len(begun); i++ {
			gaps = append(gaps, begun[i].Sub(begun[i-1]))
		}
	}
	require.NotEmpty(t, gaps)
	slices.Sort(gaps)
	longest := gaps[len(gaps)-1]
	scale.Figure(t, "%d healthy servers, interval %s: listed every %s at the median, %s at most",
		len(f.healthy), f.size.interval, gaps[len(gaps)/2].Round(10*time.Millisecond), longest.Round(10*time.Millisecond))
	if scale.Full() {
		assert.LessOrEqual(t, longest, f.size.interval+intervalGrace)
	}
}
