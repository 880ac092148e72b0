package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestDiscoverFilesStopsWhenItsServerIsPausedOrSuspended: any activity may report it.
// Then nothing more is listed or started, and the run ends after its dispatcher.
func TestDiscoverFilesStopsWhenItsServerIsPausedOrSuspended(t *testing.T) {
	t.Parallel()
	const never = 10 * time.Hour
	firstListing := func(l listing) func(*script) { return func(s *script) { s.listings = []listing{l} } }
	secondListing := func(l listing) func(*script) {
		return func(s *script) { s.settings.Settle, s.listings = never, []listing{{settling: 1}, l} }
	}
	rechecked := func(r recheck) func(*script) {
		return func(s *script) { s.listings, s.rechecks = []listing{{settling: 1}}, []recheck{r} }
	}
	dispatched := func(halt activities.Halt) func(*script) {
		return func(s *script) {
			s.settings.Settle, s.listings = never, []listing{{settling: 1}}
			s.dispatchers = []dispatcher{{takes: 30 * time.Second, result: activities.DispatchFilesResult{DeferredFor: time.Minute, Halt: halt}}}
		}
	}
	first := []string{"0s list", "0s end"}
	second := []string{"0s list", "0s dispatch", "1m0s list", "1m30s end"}
	settling := []string{"0s list", "0s dispatch", "10s recheck", "1m30s end"}
	dispatcherEnds := []string{"0s list", "0s dispatch", "30s end"}
	for name, tc := range map[string]struct {
		script func(*script)
		fails  ingest.Kind
		want   []string
	}{
		"first listing, paused":     {firstListing(listing{paused: true}), "", first},
		"first listing, suspended":  {firstListing(listing{err: failure(ingest.KindSuspended)}), ingest.KindSuspended, first},
		"second listing, paused":    {secondListing(listing{paused: true}), "", second},
		"second listing, refused":   {secondListing(listing{err: failure(ingest.KindAuth)}), ingest.KindAuth, second},
		"second listing, no SFTP":   {secondListing(listing{err: failure(ingest.KindServer)}), ingest.KindServer, second},
		"second listing, suspended": {secondListing(listing{err: failure(ingest.KindSuspended)}), ingest.KindSuspended, second},
		"recheck, paused":           {rechecked(recheck{result: activities.RecheckSettlingResult{Paused: true}}), "", settling},
		"recheck, refused":          {rechecked(recheck{err: failure(ingest.KindHostKey)}), ingest.KindHostKey, settling},
		"dispatcher, paused":        {dispatched(activities.Halt{Paused: true}), "", dispatcherEnds},
		"dispatcher, suspended":     {dispatched(activities.Halt{Suspended: true}), "", dispatcherEnds},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.dispatchers = []dispatcher{{takes: 90 * time.Second}}
			tc.script(s)
			s.run(workflows.DiscoverFilesInput{})
			s.requireFailure(t, tc.fails)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

// TestARescanEndsASuspension: it is requested only for due or repaired servers.
func TestARescanEndsASuspension(t *testing.T) {
	t.Parallel()
	for name, forced := range map[string]bool{"due": false, "by force": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.listings = []listing{{}, {err: failure(ingest.KindAuth)}}
			s.dispatchers = []dispatcher{{takes: 7 * time.Minute}}
			s.at(5*time.Minute, func() { s.env.SignalWorkflow(workflows.SignalRescan, workflows.Rescan{Force: forced}) })
			s.summary(t)
			assert.Equal(t, []string{
				"0s list", "0s dispatch", "1m0s list", "5m0s list", "6m0s list", "7m0s list", "7m0s dispatch", "7m0s end",
			}, s.log)
			assert.Equal(t, []bool{false, false, forced, false, false}, s.forced, "force applies to one listing")
		})
	}
}

// TestAReadyFileOfASuspendedServerIsLeftToTheDispatcher: the dispatcher reads from the
// ledger whether the server may be used.
func TestAReadyFileOfASuspendedServerIsLeftToTheDispatcher(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		second dispatcher
		want   []string
	}{
		"still suspended": {
			dispatcher{result: activities.DispatchFilesResult{Halt: activities.Halt{Suspended: true}}},
			[]string{"0s list", "0s dispatch", "1m0s list", "3m0s dispatch", "3m0s end"},
		},
		"repaired": {
			dispatcher{takes: time.Minute, result: activities.DispatchFilesResult{Started: 1}},
			[]string{"0s list", "0s dispatch", "1m0s list", "3m0s dispatch", "4m0s end"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.listings = []listing{{}, {err: failure(ingest.KindAuth)}}
			s.dispatchers = []dispatcher{{takes: 3 * time.Minute}, tc.second}
			s.at(2*time.Minute, func() { s.env.SignalWorkflow(workflows.SignalFileReady, nil) })
			s.run(workflows.DiscoverFilesInput{})
			s.requireFailure(t, ingest.KindAuth)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

// TestDetailsOfAScan: the details have the state of the scan and the failure of its last
// listing.
func TestDetailsOfAScan(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listings = []listing{{}, {err: failure(ingest.KindAuth)}}
	s.dispatchers = []dispatcher{{takes: 3 * time.Minute}}
	s.at(30*time.Second, func() { assert.Contains(t, details(t, s.env), "server `acme` **waits for the files in flight") })
	s.at(2*time.Minute, func() {
		assert.Contains(t, details(t, s.env), "its server is suspended")
		assert.Contains(t, details(t, s.env), "The last listing failed: `it failed: auth`")
	})
	s.run(workflows.DiscoverFilesInput{})
}
