package operations

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// Without an entry in the audit log, no operation makes a change.
func TestNoChangeWithoutAnEntry(t *testing.T) {
	t.Parallel()
	b := setup(ingest.Server{UUID: "u", Name: "acme", Active: true})
	b.ledger.files = []ingest.File{{ID: 1, UUID: "uuid-1", Status: ingest.StatusError}}
	b.ledger.auditErr = errors.New("full")
	ctx := t.Context()
	_, err := b.PauseServer(ctx, "acme")
	require.ErrorContains(t, err, "full")
	_, err = b.StartScan(ctx, nil)
	require.ErrorContains(t, err, "full")
	_, err = b.ActOnFile(ctx, "uuid-1", ingest.ActionSkip, workflows.OperatorAction{})
	require.ErrorContains(t, err, "full")
	require.True(t, b.ledger.servers[0].Active)
	require.Empty(t, b.engine.started)
	require.Empty(t, b.engine.decided)
}
