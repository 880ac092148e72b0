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
	limit := now.Add(-3*time.Hour - time.Minute)
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
		require.Equal(t, tc.want, server.Late(now), name)
	}
}

func TestHoursEndWithTheCurrentOne(t *testing.T) {
	t.Parallel()
	hours := ingest.NoHours(time.Date(2026, 11, 2, 0, 30, 0, 0, time.UTC))
	require.Len(t, hours, 24)
	require.Equal(t, time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC), hours[0].Start)
	require.Equal(t, time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), hours[23].Start)
}
