package remote_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
)

// TestAudit waits for an audit of two pages of differences that ends while it
// is watched, and for one that fails.
func TestAudit(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	for _, name := range []string{"acme", "resting"} {
		_, err := b.AddServer(ctx, admin.NewServer{
			Server:      ingest.Server{Name: name, Host: name + ".example.com", Username: "u", Settle: -1, AfterIngest: "keep"},
			Credentials: ingest.Credentials{Password: []byte("p")},
		})
		require.NoError(t, err)
	}
	_, err := b.PauseServer(ctx, "resting")
	require.NoError(t, err)
	_, err = b.Audit(ctx, admin.AuditRequest{Servers: []string{"nobody"}}, nil)
	require.ErrorIs(t, err, admin.ErrNotFound)

	size := int64(4)
	sides := ingest.AuditSides{
		Source: ingest.AuditSide{State: ingest.SideSame, Size: &size, ModTime: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		Ledger: ingest.AuditSide{State: ingest.SideExtra, Status: ingest.StatusCompleted, SHA256: "abc", Count: 2}, Object: ingest.AuditSide{State: ingest.SideMissing},
	}
	found := make([]ingest.AuditDifference, admin.MaxPage+1)
	for i := range found {
		found[i] = ingest.AuditDifference{Seq: int64(i + 1), Mark: "-", What: fmt.Sprintf("acme:/%d", i), Why: "gone", Server: "acme", Path: fmt.Sprintf("/%d", i), Sides: sides}
	}
	counts := ingest.AuditCounts{Files: 2000, Objects: 7, Sources: 6, Bytes: 5, Pending: 4, Missing: int64(len(found))}
	carryOut := func(failure string) func(oracle.Summary) {
		return func(oracle.Summary) {
			_, attempt, err := b.ledger.BeginAudit(ctx, b.engine.audit)
			require.NoError(t, err)
			require.NoError(t, b.ledger.NoteAudit(ctx, b.engine.audit, attempt, counts, found))
			require.NoError(t, b.ledger.EndAudit(ctx, b.engine.audit, failure))
		}
	}
	var told []oracle.Difference
	tell := func(d oracle.Difference) error {
		told = append(told, d)
		return nil
	}
	summary, err := b.Audit(ctx, admin.AuditRequest{Progress: carryOut("")}, tell)
	require.NoError(t, err)
	require.Len(t, told, len(found))
	require.Equal(t, oracle.Difference{Mark: oracle.Missing, What: "acme:/1000", Why: "gone", Server: "acme", Path: "/1000", Sides: sides}, told[admin.MaxPage])
	require.Equal(t, oracle.Summary{
		Files: 2000, Objects: 7, Sources: 6, Bytes: 5, Pending: 4, Marks: map[oracle.Mark]int64{oracle.Missing: 1001, oracle.Extra: 0, oracle.Wrong: 0},
	}, summary.Summary)
	require.Equal(t, 2, summary.Servers)
	require.Len(t, summary.Unlisted, 1)
	require.Equal(t, "resting", summary.Unlisted[0].Server.Name)
	require.True(t, summary.Unlisted[0].Paused)

	told = nil
	summary, err = b.Audit(ctx, admin.AuditRequest{Servers: []string{"acme"}, Progress: carryOut("the store is away")}, tell)
	require.ErrorContains(t, err, "the store is away")
	require.Len(t, told, len(found), "what it found until then is told")
	require.Equal(t, 1, summary.Servers)
}
