package ingest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestLateServers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	limit := now.Add(-time.Hour - 30*time.Second)
	base := ingest.Server{Active: true, State: ingest.ServerOK, ScanInterval: time.Hour, CreatedAt: limit.Add(-time.Hour)}
	for name, tc := range map[string]struct {
		change func(*ingest.Server)
		want   bool
	}{
		"just in time":              {func(s *ingest.Server) { s.LastScanAt = limit }, false},
		"too long ago":              {func(s *ingest.Server) { s.LastScanAt = limit.Add(-time.Second) }, true},
		"paused":                    {func(s *ingest.Server) { s.Active = false }, false},
		"suspended":                 {func(s *ingest.Server) { s.State = ingest.ServerSuspended }, false},
		"never, added long ago":     {func(*ingest.Server) {}, true},
		"never, but added just now": {func(s *ingest.Server) { s.CreatedAt = now }, false},
	} {
		server := base
		tc.change(&server)
		require.Equal(t, tc.want, server.Overdue(now, time.Minute), name)
	}
}

// A server is scanned at the tick closest to its interval; a scan is late after
// twice the interval.
func TestScanGap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ interval, tick, want time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{10 * time.Second, time.Minute, time.Minute},
		{80 * time.Second, time.Minute, time.Minute},
		{90 * time.Second, time.Minute, 2 * time.Minute},
		{24 * time.Hour, time.Minute, 24 * time.Hour},
		{90 * time.Second, 0, 90 * time.Second},
	} {
		server := ingest.Server{ScanInterval: tc.interval}
		require.Equal(t, tc.want, server.ScanGap(tc.tick), "%s every %s", tc.interval, tc.tick)
	}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	server := ingest.Server{Active: true, State: ingest.ServerOK, ScanInterval: time.Minute, LastScanAt: now.Add(-time.Minute)}
	require.False(t, server.Overdue(now.Add(15*time.Second), time.Minute))
	require.True(t, server.Overdue(now.Add(45*time.Second), time.Minute), "the tick was missed")
}

func TestHoursEndWithTheCurrentOne(t *testing.T) {
	t.Parallel()
	hours := ingest.NoHours(time.Date(2026, 11, 2, 0, 30, 0, 0, time.UTC))
	require.Len(t, hours, 24)
	require.Equal(t, time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC), hours[0].Start)
	require.Equal(t, time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), hours[23].Start)
}
