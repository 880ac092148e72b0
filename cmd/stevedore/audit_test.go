package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

var sampleSize int64 = 4

func sampleAudit() *double {
	return doubled(servicedouble.Service{
		Discrepancies: []ingest.Discrepancy{
			{Mark: "-", What: `acme:/a\x1b.csv`, Why: "there is no object files/a", Server: "acme", Path: `/a\x1b.csv`, FileUUID: testUUID, Sides: ingest.AuditSides{
				Ledger: ingest.AuditSide{State: ingest.SideSame, Status: ingest.StatusCompleted, Size: &sampleSize}, Object: ingest.AuditSide{State: ingest.SideMissing},
			}},
			{Mark: "!", What: "acme:/b", Why: "it waits for an operator: \x1b[31mred\nline", Server: "acme", Path: "/b", FileUUID: testUUID},
			{Mark: "?", What: "old:/out", Why: "the server could not be audited: it is down", Server: "old", Path: "/out"},
		},
		AuditRuns: []ingest.AuditRun{{UUID: testUUID, State: ingest.AuditCompleted, AuditCounts: ingest.AuditCounts{
			Files: 7, Objects: 6, Sources: 5, Bytes: 2048, Pending: 3, Missing: 1, Wrong: 1, NotAudited: 1,
		}}},
		Servers: []ingest.Server{{Name: "acme", UUID: "s1", Active: true}, {Name: "old", UUID: "s2"}, {Name: "locked", UUID: "s3", Active: true, State: ingest.ServerSuspended}},
	})
}

func TestAuditThatEndsEarly(t *testing.T) {
	t.Parallel()
	ops := sampleAudit()
	ops.AuditRuns[0].State, ops.AuditRuns[0].Error = ingest.AuditFailed, "the store is down"
	got := execute(t, ops, args("audit", "-o", "json"))
	require.Equal(t, exitRetryable, got.code, "an incomplete audit has no result")
	var r struct{ Summary auditResult }
	require.NoError(t, json.Unmarshal([]byte(got.out), &r), got.out)
	require.False(t, r.Summary.Complete)
	require.Equal(t, "the store is down", *r.Summary.Error)
	require.Contains(t, execute(t, ops, args("audit")).out, "NOT COMPLETE   the store is down")

	got = execute(t, sampleAudit(), args("audit", "--timeout", "1ns"))
	require.Equal(t, exitRetryable, got.code)
	require.Contains(t, got.errors, "stopped waiting; the audit continues: see `stevedore audit show ")
	require.Contains(t, got.errors, "stevedore: it has not ended within 1ns and continues\n")

	missing := doubled(servicedouble.Service{Err: ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no server is called x")})
	got = execute(t, missing, args("audit", "--server", "x"))
	require.Equal(t, exitNotFound, got.code)
	require.Empty(t, got.out)
}

func TestAuditShowsProgressOnATerminalAlone(t *testing.T) {
	t.Parallel()
	got := execute(t, sampleAudit(), args("audit"), terminal)
	require.Contains(t, got.errors, "7 files, 6 objects, 5 entries on servers compared; 3 discrepancies")
	require.NotContains(t, got.out, "\x1b[K")
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAuditEndsWithItsReader(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json", "jsonl"} {
		got := execute(t, sampleAudit(), args("audit", "-o", format), func(a *app) { a.stdout = brokenPipe{} })
		require.Equal(t, exitOther, got.code, format)
		require.Contains(t, got.errors, "broken pipe")
	}
}

func TestAuditLogFilters(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("audit-log", "list", "--actor", "ann", "--action", "server.edit", "--target", "acme", "--from", "2026-01-01", "--to", "24h", "--limit", "5"), clockAt)
	require.Equal(t, exitOK, got.code, got.errors)
	require.Equal(t, []ingest.AuditFilter{{
		Actor: "ann", Action: "server.edit", Target: "acme", Limit: 5,
		From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}}, ops.Logged)
}
