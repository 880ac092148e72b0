package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

var sampleSize int64 = 4

func unseenSide(state string) map[string]any {
	return map[string]any{"state": state, "status": nil, "size": nil, "sha256": nil, "modified_at": nil, "count": nil}
}

func sampleAudit() *fakeOperations {
	return &fakeOperations{
		differences: []ingest.AuditDifference{
			{Mark: "-", What: `acme:/a\x1b.csv`, Why: "there is no object files/a", Server: "acme", Path: `/a\x1b.csv`, FileUUID: testUUID, Sides: ingest.AuditSides{
				Ledger: ingest.AuditSide{State: ingest.SideSame, Status: ingest.StatusCompleted, Size: &sampleSize}, Object: ingest.AuditSide{State: ingest.SideMissing},
			}},
			{Mark: "!", What: "acme:/b", Why: "it waits for an operator: \x1b[31mred\nline", Server: "acme", Path: "/b", FileUUID: testUUID},
		},
		audit: ingest.AuditRun{AuditCounts: ingest.AuditCounts{
			Files: 7, Objects: 6, Sources: 5, Bytes: 2048, Pending: 3, Missing: 1, Wrong: 1,
		}},
		servers: []ingest.Server{{Name: "acme", UUID: "s1", Active: true}, {Name: "old", UUID: "s2"}, {Name: "locked", UUID: "s3", Active: true, State: ingest.ServerSuspended}},
	}
}

func TestAuditTable(t *testing.T) {
	t.Parallel()
	ops := sampleAudit()
	got := execute(t, ops, args("audit", "--server", "acme", "--server", "b", "--deep"))
	require.Equal(t, exitDifferences, got.code)
	require.Equal(t, []string{"acme", "b"}, ops.audited)
	require.True(t, ops.deep)
	require.Equal(t, "stevedore: 2 difference(s) found\n", got.errors)
	require.Equal(t, strings.Join([]string{
		`-  acme:/a\x1b.csv  there is no object files/a  [ledger =, object -]`,
		`!  acme:/b  it waits for an operator: \x1b[31mred line`,
		``,
		`files checked  7, 2.0 KiB (2048 bytes) in the object store`,
		`on servers     5 entries`,
		`pending        3`,
		`differences    2: 1 missing (-), 0 extra (+), 1 wrong (!)`,
		`not listed     old: it is paused`,
		"not listed     locked: it is suspended: run `stevedore server test locked`",
		``,
	}, "\n"), got.out)
}

func TestAuditJSON(t *testing.T) {
	t.Parallel()
	type result struct {
		Differences []map[string]any
		Summary     map[string]any
	}
	var r result
	got := execute(t, sampleAudit(), args("audit", "-o", "json"))
	require.Equal(t, exitDifferences, got.code)
	require.NoError(t, json.Unmarshal([]byte(got.out), &r), got.out)
	require.Equal(t, map[string]any{
		"mark": "-", "what": `acme:/a\x1b.csv`, "why": "there is no object files/a", "server": "acme", "path": `/a\x1b.csv`,
		"file_uuid": testUUID, "sides": map[string]any{
			"source": unseenSide("unknown"), "object": unseenSide("missing"), "announcement": unseenSide("unknown"), "ledger": map[string]any{
				"state": "same", "status": "completed", "size": 4., "sha256": nil, "modified_at": nil, "count": nil,
			},
		},
	}, r.Differences[0])
	require.Len(t, r.Differences, 2)
	for field, want := range map[string]any{
		"complete": true, "error": nil, "files": 7., "bytes": 2048., "objects": 6., "sources": 5., "pending": 3.,
		"differences": 2., "missing": 1., "extra": 0., "wrong": 1., "state": "completed",
	} {
		require.Equal(t, want, r.Summary[field], field)
	}
	require.Equal(t, map[string]any{"server": "old", "server_uuid": "s2", "reason": "it is paused"}, r.Summary["unlisted_servers"].([]any)[0])

	none := &fakeOperations{}
	got = execute(t, none, args("audit", "-o", "json"))
	require.Equal(t, exitOK, got.code)
	require.Empty(t, got.errors)
	require.NoError(t, json.Unmarshal([]byte(got.out), &r), got.out)
	require.Empty(t, r.Differences)
	require.NotNil(t, r.Differences)
}

func TestAuditJSONL(t *testing.T) {
	t.Parallel()
	got := execute(t, sampleAudit(), args("audit", "-o", "jsonl"))
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 3)
	for i, kind := range []string{"difference", "difference", "summary"} {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(lines[i]), &line))
		require.Equal(t, kind, line["type"])
	}
}

func TestAuditThatEndsEarly(t *testing.T) {
	t.Parallel()
	ops := sampleAudit()
	ops.audit.State, ops.audit.Error = ingest.AuditFailed, "the store is away"
	got := execute(t, ops, args("audit", "-o", "json"))
	require.Equal(t, exitRetryable, got.code, "no verdict is not the same as differences")
	var r struct{ Summary auditResult }
	require.NoError(t, json.Unmarshal([]byte(got.out), &r), got.out)
	require.False(t, r.Summary.Complete)
	require.Equal(t, "the store is away", *r.Summary.Error)
	require.Contains(t, execute(t, ops, args("audit")).out, "NOT COMPLETE   the store is away")

	missing := &fakeOperations{err: ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no server is called x")}
	got = execute(t, missing, args("audit", "--server", "x"))
	require.Equal(t, exitNotFound, got.code)
	require.Empty(t, got.out)
}

func TestAuditShowsProgressOnATerminalAlone(t *testing.T) {
	t.Parallel()
	got := execute(t, sampleAudit(), args("audit"), terminal)
	require.Contains(t, got.errors, "7 files, 6 objects, 5 entries on servers compared; 2 difference(s)")
	require.NotContains(t, got.out, "\x1b[K")
}

// brokenPipe refuses to be written to.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAuditEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json", "jsonl"} {
		got := execute(t, sampleAudit(), args("audit", "-o", format), func(a *app) { a.stdout = brokenPipe{} })
		require.Equal(t, exitOther, got.code, format)
		require.Contains(t, got.errors, "broken pipe")
	}
}
