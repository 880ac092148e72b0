package operations

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestDecideChanges checks that a decision is recorded, and that accepted changes are
// scanned for immediately unless the server is suspended.
func TestDecideChanges(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		decision ingest.ChangesDecision
		state    ingest.ServerState
		held     int64
		decided  int
		scans    int
	}{
		"take":      {ingest.ChangesTake, ingest.ServerOK, 300, 1, 1},
		"same":      {ingest.ChangesSame, ingest.ServerOK, 300, 1, 0},
		"suspended": {ingest.ChangesTake, ingest.ServerSuspended, 300, 1, 0},
		"nothing":   {ingest.ChangesTake, ingest.ServerOK, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup()
			server := ingest.Server{UUID: "s-1", Name: "acme", Active: true, State: tc.state}
			server.Attention.Held.Files = tc.held
			b.ledger.servers = []ingest.Server{server}
			_, err := b.ResolveChanges(t.Context(), "acme", tc.decision, "1h", "summer\ntime")
			require.NoError(t, err)
			require.Len(t, b.ledger.decided, tc.decided)
			assert.Len(t, b.engine.started, tc.scans)
			if tc.decided > 0 {
				assert.Contains(t, b.ledger.decided[0], string(tc.decision)+" ")
				assert.Contains(t, b.ledger.decided[0], `summer\ntime`)
			}
			_, err = b.ResolveChanges(t.Context(), "acme", "perhaps", "", "why")
			require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
			_, err = b.ResolveChanges(t.Context(), "acme", tc.decision, "an hour", "why")
			require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
		})
	}
}
