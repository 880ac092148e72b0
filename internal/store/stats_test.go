package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestStats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	empty, err := b.Stats(ctx)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), empty.At, time.Hour)
	require.Empty(t, empty.Files)
	require.Empty(t, empty.Hours)
	require.Nil(t, empty.OldestInError)
	require.Nil(t, empty.OldestInFlight)

	b.observe(t, paths("/in", 6)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	b.walk(t, all[5], ingest.StatusDownloading)
	b.walk(t, all[4], ingest.StatusDownloading, ingest.StatusDownloaded)
	b.walk(t, all[3], ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified, ingest.StatusUploading,
		ingest.StatusUploaded, ingest.StatusCompleted)
	for _, file := range all[1:3] {
		require.NoError(t, b.Apply(ctx, ingest.Change{FileUUID: file, To: ingest.StatusError, Events: []ingest.Event{{Type: ingest.EventError}}}))
	}

	stats, err := b.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]map[ingest.Status]int64{b.server.UUID: {
		ingest.StatusReady: 1, ingest.StatusError: 2, ingest.StatusCompleted: 1, ingest.StatusDownloaded: 1, ingest.StatusDownloading: 1,
	}}, stats.Files)
	require.Equal(t, all[1], stats.OldestInError.UUID)
	require.Equal(t, all[4], stats.OldestInFlight.UUID, "the first file waits for a slot")
	hours := stats.Hours[b.server.UUID]
	require.Len(t, hours, ingest.StatsHours)
	var total ingest.HourStats
	for _, h := range hours { // a new hour may have begun
		total.Completed, total.Bytes, total.Failures = total.Completed+h.Completed, total.Bytes+h.Bytes, total.Failures+h.Failures
	}
	require.Equal(t, ingest.HourStats{Completed: 1, Bytes: 3, Failures: 2}, total)
}
