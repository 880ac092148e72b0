package access

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// failingLedger is a real ledger whose audit log can fail.
type failingLedger struct {
	*store.Store
	// auditErr fails Record, outcomeErr fails CompleteEntry.
	auditErr, outcomeErr error
}

func (l *failingLedger) Record(ctx context.Context, e ingest.AuditEntry) error {
	if l.auditErr != nil {
		return l.auditErr
	}
	return l.Store.Record(ctx, e)
}

func (l *failingLedger) CompleteEntry(ctx context.Context, key string, outcome ingest.ActionOutcome, reason string) error {
	if l.outcomeErr != nil {
		return l.outcomeErr
	}
	return l.Store.CompleteEntry(ctx, key, outcome, reason)
}

// bundle is a Service on a real ledger.
type bundle struct {
	*Service
	ledger *failingLedger
	log    bytes.Buffer
}

func setup(t *testing.T) *bundle {
	t.Helper()
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	b := &bundle{ledger: &failingLedger{Store: ledger}}
	b.Service = New(b.ledger, slog.New(slog.NewTextHandler(&b.log, nil)))
	return b
}

// audited returns the entries of the audit log, the latest first.
func (b *bundle) audited(t *testing.T) []ingest.AuditEntry {
	t.Helper()
	page, err := b.AuditLog(t.Context(), ingest.AuditFilter{Limit: 100})
	require.NoError(t, err)
	return page.Items
}
