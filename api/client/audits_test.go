package client_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// TestAudit waits for an audit that ends with two pages of discrepancies, and for an audit
// that fails.
func TestAudit(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	_, err := b.CreateServer(ctx, openapi.ServerSettings{Name: ptr("acme"), Host: ptr("sftp.example.com"), Username: ptr("u"), Password: ptr("p")})
	require.NoError(t, err)
	_, err = b.StartAudit(ctx, openapi.AuditRequest{Servers: &[]string{"unknown"}})
	require.ErrorIs(t, err, ingest.ErrNotFound)

	size := int64(4)
	sides := ingest.AuditSides{
		Source: ingest.AuditSide{State: ingest.SideSame, Size: &size, ModTime: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		Ledger: ingest.AuditSide{State: ingest.SideExtra, Status: ingest.StatusCompleted, SHA256: "abc", Count: 2}, Object: ingest.AuditSide{State: ingest.SideMissing},
	}
	found := make([]ingest.Discrepancy, operations.MaxPage+1)
	for i := range found {
		found[i] = ingest.Discrepancy{Seq: int64(i + 1), Mark: "-", What: fmt.Sprintf("acme:/%d", i), Why: "gone", Server: "acme", Path: fmt.Sprintf("/%d", i), Sides: sides}
	}
	counts := ingest.AuditCounts{Files: 2000, Objects: 7, Sources: 6, Bytes: 5, Pending: 4, Missing: int64(len(found))}
	audit := func(request openapi.AuditRequest, failure string) (openapi.AuditRun, []openapi.AuditDifference, error) {
		run, err := b.StartAudit(ctx, request)
		require.NoError(t, err)
		run, err = b.WaitAudit(ctx, run.AuditUUID, func(openapi.AuditRun) {
			_, attempt, err := b.ledger.BeginAudit(ctx, b.engine.audit)
			require.NoError(t, err)
			require.NoError(t, b.ledger.NoteAudit(ctx, b.engine.audit, attempt, counts, found))
			require.NoError(t, b.ledger.EndAudit(ctx, b.engine.audit, failure))
		})
		var discrepancies []openapi.AuditDifference
		for discrepancy, readErr := range b.ListAuditDifferences(ctx, run.AuditUUID, openapi.ListAuditDifferencesParams{}, 0) {
			require.NoError(t, readErr)
			discrepancies = append(discrepancies, discrepancy)
		}
		return run, discrepancies, err
	}
	run, discrepancies, err := audit(openapi.AuditRequest{}, "")
	require.NoError(t, err)
	require.Len(t, discrepancies, len(found), "all pages")
	require.Equal(t, openapi.FromDiscrepancy(found[operations.MaxPage]), discrepancies[operations.MaxPage])
	require.EqualValues(t, 2000, run.Files)
	require.EqualValues(t, len(found), run.Differences)
	require.Equal(t, openapi.AuditCompleted, run.State)

	run, discrepancies, err = audit(openapi.AuditRequest{Servers: &[]string{"acme"}}, "the store is down")
	require.ErrorContains(t, err, "the store is down")
	require.Len(t, discrepancies, len(found), "the discrepancies before the failure")
	require.Len(t, run.ServerUuids, 1)
}
