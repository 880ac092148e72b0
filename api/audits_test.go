package api

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func TestAuditsByREST(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.server(t, "acme")
	requireProblem(t, b.call("POST", "/api/v1/audits", `{"servers":["unknown"]}`), 404, openapi.CodeNotFound)
	started := b.call("POST", "/api/v1/audits", `{"servers":["acme"],"deep":true}`)
	require.Equal(t, 202, started.Code, started.Body)
	where := started.Header().Get("Location")
	run := decode[openapi.AuditRun](t, b.call("GET", where, ""))
	require.Equal(t, openapi.AuditRunning, run.State)
	require.Len(t, run.ServerUuids, 1)
	require.True(t, run.Deep)
	require.Equal(t, "bootstrap", run.Actor)

	_, attempt, err := b.store.BeginAudit(t.Context(), run.AuditUUID)
	require.NoError(t, err)
	found := []ingest.Discrepancy{{Seq: 1, Mark: "-", What: "acme:/a", Why: "gone"}, {Seq: 2, Mark: "!", What: "acme:/b", Why: "differs", Server: "acme", Path: "/b"}}
	require.NoError(t, b.store.NoteAudit(t.Context(), run.AuditUUID, attempt, ingest.AuditCounts{Files: 5, Missing: 1, Wrong: 1}, found))
	require.NoError(t, b.store.EndAudit(t.Context(), run.AuditUUID, ""))
	run = decode[openapi.AuditRun](t, b.call("GET", where, ""))
	require.Equal(t, openapi.AuditCompleted, run.State)
	require.EqualValues(t, 2, run.Differences)
	page := decode[openapi.AuditDifferencePage](t, b.call("GET", where+"/differences?limit=1", ""))
	require.Equal(t, "acme:/a", page.Differences[0].What)
	page = decode[openapi.AuditDifferencePage](t, b.call("GET", where+"/differences?limit=1&cursor="+*page.NextCursor, ""))
	require.Equal(t, "/b", *page.Differences[0].Path)
	requireProblem(t, b.call("GET", strings.Replace(where, run.AuditUUID, scanUUID, 1)+"/differences", ""), 404, openapi.CodeNotFound)

	b.engine.err = ingest.Errorf(ingest.KindTransient, "Temporal is down")
	requireProblem(t, b.call("POST", "/api/v1/audits", ""), 503, openapi.CodeUnavailable)
	b.engine.err = nil
	all := decode[openapi.AuditRunPage](t, b.call("GET", "/api/v1/audits", ""))
	require.Len(t, all.Audits, 2)
	require.Equal(t, openapi.AuditFailed, all.Audits[0].State)
	require.Contains(t, *all.Audits[0].Error, "Temporal is down")
}
