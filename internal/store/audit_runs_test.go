package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestAuditRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	id := uuid.NewString()
	for range 2 {
		require.NoError(t, b.AddAuditRun(ctx, ingest.AuditRun{UUID: id, Actor: "ann", Servers: []string{b.server.UUID}, Deep: true}), "idempotent")
	}
	run, first, err := b.BeginAudit(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []string{b.server.UUID}, run.Servers)
	size := int64(4)
	sides := ingest.AuditSides{
		Source: ingest.AuditSide{State: ingest.SideSame, Size: &size, ModTime: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		Ledger: ingest.AuditSide{State: ingest.SideExtra, Status: ingest.StatusCompleted, SHA256: "abc", Count: 2}, Object: ingest.AuditSide{State: ingest.SideMissing},
	}
	found := []ingest.Discrepancy{{Seq: 1, Mark: "-", What: "acme:/a", Why: "gone", Server: "acme", Path: "/a", FileUUID: uuid.NewString(), Sides: sides}, {Seq: 2, Mark: "?", What: "k", Why: "x"}}
	require.NoError(t, b.NoteAudit(ctx, id, first, ingest.AuditCounts{Files: 7, Missing: 1, Extra: 1}, found))
	require.NoError(t, b.NoteAudit(ctx, id, first, ingest.AuditCounts{Files: 7, Missing: 1, Extra: 1}, found), "a repeated write is recognized")
	stored, err := b.ListDiscrepancies(ctx, id, 0, 100)
	require.NoError(t, err)
	require.Equal(t, found, stored)

	_, second, err := b.BeginAudit(ctx, id)
	require.NoError(t, err)
	stored, err = b.ListDiscrepancies(ctx, id, 0, 100)
	require.NoError(t, err)
	require.Empty(t, stored, "another attempt starts again")
	err = b.NoteAudit(ctx, id, first, ingest.AuditCounts{Files: 99}, found)
	require.Equal(t, ingest.KindFenced, ingest.KindOf(err), "an older attempt is fenced")
	counts := ingest.AuditCounts{Sources: 1, Files: 8, Objects: 2, Bytes: 3, Pending: 4, Missing: 5, Extra: 6, Wrong: 7, NotAudited: 9}
	require.NoError(t, b.NoteAudit(ctx, id, second, counts, found[:1]))
	require.NoError(t, b.EndAudit(ctx, id, ""))
	require.NoError(t, b.EndAudit(ctx, id, "too late"))
	run, err = b.AuditRun(ctx, id)
	require.NoError(t, err)
	require.Equal(t, ingest.AuditCompleted, run.State)
	require.Equal(t, counts, run.AuditCounts)
	require.False(t, run.FinishedAt.IsZero())
	_, _, err = b.BeginAudit(ctx, id)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))

	other := uuid.NewString()
	require.NoError(t, b.AddAuditRun(ctx, ingest.AuditRun{UUID: other, Actor: "bob"}))
	require.NoError(t, b.EndAudit(ctx, other, "no worker"))
	runs, err := b.AuditRuns(ctx, 0, 10)
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, "no worker", runs[0].Error)
	runs, err = b.AuditRuns(ctx, runs[0].ID, 10)
	require.NoError(t, err)
	require.Equal(t, id, runs[0].UUID)
	_, err = b.AuditRun(ctx, uuid.NewString())
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err))
}
