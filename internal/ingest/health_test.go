package ingest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestMostUrgentHealth: each state hides all states after it.
func TestMostUrgentHealth(t *testing.T) {
	t.Parallel()
	problems := map[ingest.Health]func(*ingest.Server){
		ingest.HealthPaused:     func(s *ingest.Server) { s.Active = false },
		ingest.HealthSuspended:  func(s *ingest.Server) { s.State = ingest.ServerSuspended },
		ingest.HealthUnpinned:   func(s *ingest.Server) { s.HostKeys, s.LastError = nil, "" },
		ingest.HealthOverdue:    func(s *ingest.Server) { s.Late = true },
		ingest.HealthScanFailed: func(s *ingest.Server) { s.LastError = "connection refused" },
		ingest.HealthUnread:     func(s *ingest.Server) { s.Unread.Count = 1 },
		ingest.HealthHeld:       func(s *ingest.Server) { s.Attention.Held.Files = 1 },
		ingest.HealthResent:     func(s *ingest.Server) { s.Attention.Resent = 1 },
		ingest.HealthLeft:       func(s *ingest.Server) { s.Left.Sources = 1 },
		ingest.HealthNotScanned: func(s *ingest.Server) { s.LastScanAt = time.Time{} },
		ingest.HealthOK:         func(*ingest.Server) {},
	}
	require.Len(t, ingest.Healths, len(problems))
	server := ingest.Server{Active: true, State: ingest.ServerOK, HostKeys: []string{"key"}, LastScanAt: time.Unix(1, 0)}
	for _, want := range slices.Backward(ingest.Healths) {
		problems[want](&server)
		require.Equal(t, want, server.Health())
		calm := want == ingest.HealthPaused || want == ingest.HealthNotScanned || want == ingest.HealthOK
		require.Equal(t, !calm, want.NeedsOperator(), want)
	}
	require.False(t, ingest.Health("downloading").NeedsOperator())
}

// TestUnpinnedIsNotUnreachable: before the first key is approved, a server may be unreachable.
func TestUnpinnedIsNotUnreachable(t *testing.T) {
	t.Parallel()
	server := ingest.Server{Active: true, State: ingest.ServerOK}
	require.Equal(t, ingest.HealthUnpinned, server.Health())
	server.LastError = "cannot connect: connection refused"
	require.Equal(t, ingest.HealthScanFailed, server.Health())
	server.State, server.LastError = ingest.ServerSuspended, "presents a host key which is not pinned"
	require.Equal(t, ingest.HealthUnpinned, server.Health())
}

func TestHealthOfItsLabel(t *testing.T) {
	t.Parallel()
	for _, health := range ingest.Healths {
		require.Equal(t, health, ingest.HealthOf(health.Label()))
	}
}
