package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestAnIdleScanIsOneLocalActivity: a dispatcher runs only if the ledger has files for it.
func TestAnIdleScanIsOneLocalActivity(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		try    listing
		settle time.Duration
		want   []string
	}{
		"nothing":    {listing{seen: 9, idle: true}, 0, []string{"local TryListing"}},
		"ready":      {listing{seen: 9}, 0, []string{"local TryListing", "DispatchFiles"}},
		"settling":   {listing{seen: 9, idle: true, settling: 1}, 0, []string{"local TryListing", "RecheckSettling", "DispatchFiles"}},
		"paused":     {listing{paused: true}, 0, []string{"local TryListing"}},
		"refused":    {listing{err: failure(ingest.KindAuth)}, 0, []string{"local TryListing"}},
		"left over":  {listing{err: listingIncomplete(activities.Leftover{})}, 0, []string{"local TryListing", "ListServerFiles", "DispatchFiles"}},
		"has failed": {listing{err: failure(ingest.KindTransient)}, 0, []string{"local TryListing", "ListServerFiles", "DispatchFiles"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			steps := stepsOf(s.env)
			s.tries = []listing{tc.try}
			s.rechecks = []recheck{{result: activities.RecheckSettlingResult{Ready: 1}}}
			s.run(workflows.DiscoverFilesInput{})
			assert.Equal(t, tc.want, *steps)
		})
	}
}

// TestARefusalIsNotRepeatedByTheActivity: the activity records a refusal that TryListing
// could not record, and does not log in again.
func TestARefusalIsNotRepeatedByTheActivity(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	refused := &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.KindAuth, Message: "no"}
	s.tries = []listing{{err: listingIncomplete(activities.Leftover{Refused: refused})}}
	s.listings = []listing{{err: failure(ingest.KindAuth)}}
	s.run(workflows.DiscoverFilesInput{})
	s.requireFailure(t, ingest.KindAuth)
	require.Equal(t, []*ingest.Failure{refused}, s.refused)
}

// TestAPassSignalsAScanOnce: a pass that is retried after a crash has no second effect.
func TestAPassSignalsAScanOnce(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: 50 * time.Second}}
	for i, pass := range []string{"first", "second", "second", "", "third"} {
		s.at(time.Duration(i+1)*time.Second, func() { s.env.SignalWorkflow(workflows.SignalRescan, workflows.Rescan{Pass: pass}) })
	}
	s.run(workflows.DiscoverFilesInput{Pass: "first"})
	require.NoError(t, s.env.GetWorkflowError())
	assert.Equal(t, []string{"0s list", "0s dispatch", "2s list", "4s list", "5s list", "50s dispatch", "50s end"}, s.log)
}

// TestScheduledRescansDoNotRepeatAListing: while a listing runs, a rescan requests
// another one only if the listing succeeds and takes longer than the interval.
func TestScheduledRescansDoNotRepeatAListing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first listing
		asked workflows.Rescan
		want  []string
	}{
		"fails":        {listing{err: failure(ingest.KindPermission)}, workflows.Rescan{Pass: "p", Scheduled: true}, []string{"0s list", "1m30s end"}},
		"fails, asked": {listing{err: failure(ingest.KindPermission)}, workflows.Rescan{}, []string{"0s list", "1m30s list", "1m30s end"}},
		"slow":         {listing{idle: true}, workflows.Rescan{Pass: "p", Scheduled: true}, []string{"0s list", "1m30s list", "1m30s end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.settings.Dispatchable = false
			tc.first.takes = 90 * time.Second
			s.listings = []listing{tc.first}
			s.at(time.Minute, func() { s.env.SignalWorkflow(workflows.SignalRescan, tc.asked) })
			s.run(workflows.DiscoverFilesInput{})
			assert.Equal(t, tc.want, s.log)
		})
	}
}
