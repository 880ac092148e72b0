package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

func TestDiscoverFilesListsAgainDuringALongBacklog(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listings = []listing{{seen: 5}, {seen: 6}, {seen: 7}}
	s.dispatchers = []dispatcher{{takes: 150 * time.Second, result: activities.DispatchFilesResult{Started: 6}}, {result: activities.DispatchFilesResult{Started: 1}}}
	summary := s.summary(t)
	assert.Equal(t, []string{
		"0s list", "0s dispatch", "1m0s list", "2m0s list", "2m30s dispatch", "2m30s end",
	}, s.log)
	assert.Equal(t, workflows.DiscoverSummary{Listings: 3, Seen: 7, Started: 7}, summary)
}

// TestDiscoverFilesWithoutAnIntervalListsOnce: the server is scanned on request only.
func TestDiscoverFilesWithoutAnIntervalListsOnce(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.settings.ScanInterval = 0
	s.dispatchers = []dispatcher{{takes: 10 * time.Hour}}
	s.summary(t)
	assert.Equal(t, []string{"0s list", "0s dispatch", "10h0m0s end"}, s.log)
}

// TestDiscoverFilesWaitsTheSettleTime: the duration of a listing does not count as time in
// which files kept changing.
func TestDiscoverFilesWaitsTheSettleTime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		listing time.Duration
		want    []string
	}{
		"fast listing": {0, []string{"0s list", "0s dispatch", "10s recheck", "10s dispatch", "40s end"}},
		"slow listing": {3 * time.Minute, []string{"0s list", "3m0s dispatch", "3m10s recheck", "3m10s dispatch", "3m40s end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.settings.ScanInterval = 4 * time.Minute
			s.listings = []listing{{takes: tc.listing, settling: 1}}
			s.rechecks = []recheck{{result: activities.RecheckSettlingResult{Ready: 1}}}
			s.dispatchers = []dispatcher{{}, {takes: 30 * time.Second, result: activities.DispatchFilesResult{Started: 1}}}
			assert.EqualValues(t, 1, s.summary(t).Started)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

// TestDiscoverFilesRechecksAfterASlowListing: the listing took longer than the time limit
// for changing files, but saw each file only once.
func TestDiscoverFilesRechecksAfterASlowListing(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listings = []listing{{takes: 3 * time.Minute, settling: 1}}
	s.rechecks = []recheck{{result: activities.RecheckSettlingResult{Ready: 1}}}
	s.summary(t)
	assert.Contains(t, s.log, "3m10s recheck")
	assert.Contains(t, s.log, "3m10s dispatch")
}

func TestDiscoverFilesLeavesGrowingFilesToTheNextScan(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.settings.Settle = 25 * time.Second
	s.listings = []listing{{settling: 1}}
	for range 10 {
		s.rechecks = append(s.rechecks, recheck{result: activities.RecheckSettlingResult{Settling: 1}})
	}
	assert.EqualValues(t, 1, s.summary(t).Settling)
	assert.Equal(t, []string{"0s list", "0s dispatch", "25s recheck", "50s recheck", "1m15s recheck", "1m15s end"}, s.log)
}

func TestDiscoverFilesReportsAFailedListing(t *testing.T) {
	t.Parallel()
	transient := listing{err: failure(ingest.KindTransient)}
	for name, tc := range map[string]struct {
		listings []listing
		fails    ingest.Kind
		want     []string
	}{
		"the first, permanently": {
			[]listing{{err: failure(ingest.KindPermission)}}, ingest.KindPermission, []string{"0s list", "0s end"},
		},
		"the first, three times": {
			[]listing{transient, transient, transient}, ingest.KindTransient, []string{"0s list", "1s list", "3s list", "3s end"},
		},
		"twice": {
			[]listing{transient, transient, {}}, "", []string{"0s list", "1s list", "3s list", "3s dispatch", "2m33s end"},
		},
		"the second, while files are in flight": {
			[]listing{{}, {err: failure(ingest.KindPermission)}}, ingest.KindPermission,
			[]string{"0s list", "0s dispatch", "1m0s list", "2m30s end"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			if tc.fails == "" {
				s.settings.ScanInterval = time.Hour
			}
			s.listings, s.dispatchers = tc.listings, []dispatcher{{takes: 150 * time.Second}}
			s.run(workflows.DiscoverFilesInput{})
			s.requireFailure(t, tc.fails)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

// TestDiscoverFilesRestartsAListingOnDrain: a rolling restart of workers must not use up
// the attempts of a listing.
func TestDiscoverFilesRestartsAListingOnDrain(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	for range 10 {
		s.listings = append(s.listings, listing{err: temporal.NewNonRetryableApplicationError("stops", activities.TypeStopped, nil)})
	}
	assert.Equal(t, 1, s.summary(t).Listings)
	assert.Len(t, s.log, 13, "ten failures, a success, a dispatcher, the end: %v", s.log)
}

func TestDiscoverFilesListsAgainWhenAsked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		at   time.Duration
		want []string
	}{
		"while files are in flight": {20 * time.Second, []string{"0s list", "0s dispatch", "20s list", "1m10s dispatch", "1m10s end"}},
		"while files settle":        {80 * time.Second, []string{"0s list", "0s dispatch", "1m20s list", "1m20s dispatch", "1m20s end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.settings.ScanInterval, s.settings.Settle = 90*time.Second, 100*time.Second
			s.listings = []listing{{settling: 1}, {}}
			s.dispatchers = []dispatcher{{takes: 70 * time.Second}}
			s.at(tc.at, func() { s.env.SignalWorkflow(workflows.SignalRescan, nil) })
			s.summary(t)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

// TestARescanDuringAListingFollowsIt: the listing may have missed the new file, or used the
// server before its repair.
func TestARescanDuringAListingFollowsIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first listing
		want  []string
	}{
		"succeeds": {listing{}, []string{"0s list", "10s dispatch", "10s list", "10s dispatch", "10s end"}},
		"paused":   {listing{paused: true}, []string{"0s list", "10s list", "10s dispatch", "10s end"}},
		"refused":  {listing{err: failure(ingest.KindAuth)}, []string{"0s list", "10s list", "10s dispatch", "10s end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			tc.first.takes = 10 * time.Second
			s.listings = []listing{tc.first}
			s.at(5*time.Second, func() { s.env.SignalWorkflow(workflows.SignalRescan, nil) })
			s.summary(t)
			assert.ElementsMatch(t, tc.want, s.log)
		})
	}
}

// TestDiscoverFilesListsAtTheIntervalOfTheLastListing: a requested listing counts, too.
func TestDiscoverFilesListsAtTheIntervalOfTheLastListing(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: 100 * time.Second}}
	s.at(20*time.Second, func() { s.env.SignalWorkflow(workflows.SignalRescan, nil) })
	s.summary(t)
	assert.Equal(t, []string{"0s list", "0s dispatch", "20s list", "1m20s list", "1m40s dispatch", "1m40s end"}, s.log)
}

func TestDiscoverFilesForcesItsFirstListingOnly(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: 90 * time.Second}}
	s.run(workflows.DiscoverFilesInput{Force: true})
	require.NoError(t, s.env.GetWorkflowError())
	assert.Equal(t, []bool{true, false}, s.forced)
}

// TestListingsStateTheirOrigin: a person's request is recorded with the listing that serves
// it, and with no other.
func TestListingsStateTheirOrigin(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listings = []listing{{idle: true}, {idle: true}, {idle: true}}
	s.dispatchers = []dispatcher{{takes: 3 * time.Minute}}
	s.listings[0].idle = false
	s.at(20*time.Second, func() { s.env.SignalWorkflow(workflows.SignalRescan, workflows.Rescan{Pass: "p", RequestedBy: "bob"}) })
	s.run(workflows.DiscoverFilesInput{RequestedBy: "alice"})
	require.NoError(t, s.env.GetWorkflowError())
	require.GreaterOrEqual(t, len(s.origins), 3)
	assert.Equal(t, []ingest.ScanOrigin{
		{Source: "schedule", RequestedBy: "alice"}, {Source: ingest.SourceManual, RequestedBy: "bob"}, {Source: ingest.SourceSchedule},
	}, s.origins[:3])
}
