package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// continued runs the scan, which must continue as new, and returns the input of the next
// run.
func (s *script) continued(t *testing.T) workflows.DiscoverFilesInput {
	t.Helper()
	s.run(workflows.DiscoverFilesInput{Force: true, Pass: "first"})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, s.env.GetWorkflowError(), &next)
	var in workflows.DiscoverFilesInput
	require.NoError(t, payloads(next, &in))
	require.NotNil(t, in.Carried)
	return in
}

// TestDiscoverFilesContinuesAsNew: when the history is long, the run stops its dispatcher
// and carries its state to the next one.
func TestDiscoverFilesContinuesAsNew(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.settings.Settle = time.Hour
	s.listings = []listing{{seen: 8, settling: 2}, {seen: 9, settling: 3}}
	s.dispatchers = []dispatcher{{takes: 5 * time.Hour}}
	s.at(40*time.Second, func() {
		s.env.SetContinueAsNewSuggested(true)
		s.env.SignalWorkflow(workflows.SignalRescan, workflows.Rescan{Pass: "second", Scheduled: true})
	})
	in := s.continued(t)
	assert.Equal(t, []string{"0s list", "0s dispatch", "40s list", "40s cancel DispatchFiles", "40s end"}, s.log)
	assert.Equal(t, serverUUID, in.ServerUUID)
	assert.Equal(t, "schedule", in.Source)
	assert.False(t, in.Force, "force applies only to the first listing of the first run")
	assert.Empty(t, in.Pass)
	assert.Equal(t, "second", in.Carried.Pass, "the next run has the pass of the last listing")
	carried := in.Carried
	assert.True(t, s.began.Add(40*time.Second).Equal(carried.ListedAt), "%s", carried.ListedAt)
	assert.Equal(t, s.settings.MaxParallel, carried.Server.MaxParallel)
	assert.Equal(t, s.settings.ScanInterval, carried.Server.ScanInterval)
	assert.EqualValues(t, 3, carried.Settling)
	assert.Equal(t, workflows.DiscoverSummary{Listings: 2, Seen: 9, Settling: 3}, carried.Summary)
	assert.False(t, carried.Suspended || carried.Paused || carried.ListDue || carried.Force)
}

// TestNextRunContinues starts a dispatcher immediately, lists at the end of the interval
// and keeps the settle time.
func TestNextRunContinues(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		carried workflows.DiscoverState
		want    []string
		forced  []bool
	}{
		"in flight": {workflows.DiscoverState{}, []string{"0s dispatch", "40s list", "50s dispatch", "50s end"}, []bool{false}},
		"settling":  {workflows.DiscoverState{Settling: 1}, []string{"0s dispatch", "10s recheck", "40s list", "50s dispatch", "50s end"}, []bool{false}},
		"suspended": {workflows.DiscoverState{Suspended: true}, []string{"0s end"}, nil},
		"paused":    {workflows.DiscoverState{Paused: true}, []string{"0s end"}, nil},
		"rescan":    {workflows.DiscoverState{ListDue: true, Force: true}, []string{"0s list", "0s dispatch", "50s end"}, []bool{true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.dispatchers = []dispatcher{{takes: 50 * time.Second, result: activities.DispatchFilesResult{Started: 2}}}
			tc.carried.Server, tc.carried.ListedAt = s.settings, s.began.Add(-20*time.Second)
			tc.carried.Summary = workflows.DiscoverSummary{Listings: 4, Started: 100}
			s.run(workflows.DiscoverFilesInput{Carried: &tc.carried})
			summary := s.result(t)
			assert.Equal(t, tc.want, s.log)
			assert.Equal(t, tc.forced, s.forced)
			assert.Equal(t, 4+s.calls["list"], summary.Listings)
			assert.EqualValues(t, 100+2*min(1, s.calls["dispatch"]), summary.Started)
		})
	}
}

// TestARescanIsNotLostBetweenRuns: it arrives while the run waits for its dispatcher to
// stop.
func TestARescanIsNotLostBetweenRuns(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: time.Hour}}
	s.at(30*time.Second, func() {
		s.env.SetContinueAsNewSuggested(true)
		s.env.SignalWorkflow(workflows.SignalFileReady, nil)                        // the run starts to stop
		s.env.SignalWorkflow(workflows.SignalRescan, workflows.Rescan{Force: true}) // its dispatcher still runs
	})
	in := s.continued(t)
	assert.Equal(t, []string{"0s list", "0s dispatch", "30s cancel DispatchFiles", "30s end"}, s.log)
	assert.True(t, in.Carried.ListDue)
	assert.True(t, in.Carried.Force)
}

// TestErrorOfAStoppedDispatcherDoesNotEndTheScan: a lasting error occurs again in the next
// dispatcher.
func TestErrorOfAStoppedDispatcherDoesNotEndTheScan(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: 30 * time.Second, err: failure(ingest.KindInvalid), ending: func() {
		s.env.SetContinueAsNewSuggested(true)
		// The workflow task with the failure reads this signal first.
		s.env.SignalWorkflowSkippingWorkflowTask(workflows.SignalFileReady, nil)
	}}}
	s.continued(t)
	assert.Equal(t, []string{"0s list", "0s dispatch", "30s end"}, s.log)
}

// TestACancellationIsNotLostBetweenRuns: the next run would not be cancelled.
func TestACancellationIsNotLostBetweenRuns(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: time.Hour}}
	s.at(30*time.Second, func() {
		s.env.SetContinueAsNewSuggested(true)
		s.env.SignalWorkflow(workflows.SignalFileReady, nil)
		s.env.CancelWorkflow()
	})
	s.run(workflows.DiscoverFilesInput{})
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, s.env.GetWorkflowError(), &cancelled)
}
