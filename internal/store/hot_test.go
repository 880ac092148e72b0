package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

// updates returns the share of HOT updates of files made by the calls, and their number.
// Connections report their statistics when they end.
func (b *testBundle) updates(t *testing.T, wanted int64, calls func(s *store.Store)) (share float64, n int64) {
	t.Helper()
	read := func() (all, hot int64) {
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'files'").Scan(&all, &hot))
		return all, hot
	}
	b.db.Reset() // connections also update their own statistics
	allBefore, hotBefore := read()
	s, err := store.New(t.Context(), store.Config{DatabaseURL: b.dsn})
	require.NoError(t, err)
	calls(s)
	s.Close()
	var all, hot int64
	require.Eventually(t, func() bool {
		all, hot = read()
		return all-allBefore >= wanted
	}, time.Minute, 10*time.Millisecond)
	return float64(hot-hotBefore) / float64(all-allBefore), all - allBefore
}

// An update that keeps the status, hash and object key touches no index: claims, failures,
// retries and deferrals are frequent. Updates of the status are indexed, because listings find
// files by status.
func TestUpdatesThatLeaveTheStatusTouchNoIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const files, rounds = 20, 25
	b.observe(t, paths("/in", files)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	for _, file := range all {
		b.walk(t, file, ingest.StatusDownloading)
	}
	share, n := b.updates(t, 2*files*rounds, func(s *store.Store) {
		for range rounds {
			for _, file := range all {
				f, err := s.Claim(t.Context(), file)
				require.NoError(t, err)
				failure := ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: time.Now().String()}
				require.NoError(t, s.Apply(t.Context(), ingest.RetryScheduled(f, failure, 1)))
			}
		}
	})
	t.Logf("%d updates, %.1f %% of them HOT", n, 100*share)
	require.Greater(t, share, 0.5, "a full page that cannot be pruned yet causes some non-HOT updates")
}

// Plans made while the ledger is small are cached when it has grown: they must not read all of
// it.
func TestGroupsOfASmallLedgerReadByIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 300)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	scans := func() (n int64) {
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'files'").Scan(&n))
		return n
	}
	fence := b.dispatcher(t).fence
	b.db.Reset()
	before := scans()
	_, n := b.updates(t, 8*store.MaxGroup, func(s *store.Store) {
		for range 8 {
			var changes []ingest.Change
			for _, file := range all[:store.MaxGroup] {
				changes = append(changes, ingest.Change{FileUUID: file, From: []ingest.Status{ingest.StatusReady}, FreeSlot: true})
			}
			for _, err := range s.Together(t.Context(), changes...) {
				require.NoError(t, err)
			}
			_, err := s.ReserveSlots(t.Context(), b.server.UUID, fence, 2)
			require.NoError(t, err)
		}
	})
	require.EqualValues(t, 8*store.MaxGroup, n)
	require.Zero(t, scans()-before)
}
