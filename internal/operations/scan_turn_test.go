package operations

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// Per turn at most two scans of the same servers start: one immediately, and one after all
// further requests.
func TestRequestsForScansShareTurns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		state ingest.ServerState
		turn  time.Duration
	}{"healthy": {ingest.ServerOK, scanTurn}, "suspended": {ingest.ServerSuspended, suspendedTurn}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acme := server("u1", "a")
			acme.State = tc.state
			b := setup(acme, server("u2", "b"))
			now := time.Unix(1_800_000_000, 0).Add(500 * time.Millisecond) // a turn began half a second ago
			b.d.Now = func() time.Time { return now }
			scan := func(names ...string) string {
				run, err := b.StartScan(t.Context(), names)
				require.NoError(t, err)
				return run.UUID
			}
			first := scan("a")
			assert.Zero(t, b.engine.scans[temporalnames.ScanWorkflowID(first)])
			second := scan("a")
			require.NotEqual(t, first, second, "the first may have passed what was put there since")
			assert.Equal(t, tc.turn-500*time.Millisecond, b.engine.scans[temporalnames.ScanWorkflowID(second)])
			for range 50 {
				assert.Equal(t, second, scan("a", "u1", "a"))
			}
			assert.NotContains(t, []string{first, second}, scan("b"), "other servers")
			require.Len(t, b.engine.started, 3)

			now = now.Add(tc.turn)
			third := scan("a")
			assert.NotContains(t, []string{first, second}, third)
			assert.Zero(t, b.engine.scans[temporalnames.ScanWorkflowID(third)])
		})
	}
}

// Concurrent requests to several processes start at most two scans.
func TestRequestsForScansAtTheSameMoment(t *testing.T) {
	t.Parallel()
	one, other := setup(server("u1", "a")), setup(server("u1", "a"))
	other.d.Orchestrator = one.engine
	now := time.Unix(1_800_000_000, 0)
	one.d.Now, other.d.Now = func() time.Time { return now }, func() time.Time { return now }
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			_, err := []*bundle{one, other}[i%2].StartScan(t.Context(), nil)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, len(one.engine.started), 2)
}
