package api

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func TestFailuresAndFiltersByError(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := b.server(t, "acme")
	file := b.failed(t, server, "/in/Invoice_1.csv")
	b.failed(t, server, "/in/other.csv")
	list := decode[openapi.FailureList](t, b.call("GET", "/api/v1/failures?server=acme", ""))
	require.False(t, list.More)
	require.Len(t, list.Groups, 1)
	require.Equal(t, []any{"acme", "permission", int64(2), "denied"}, []any{list.Groups[0].Server, list.Groups[0].ErrorKind, list.Groups[0].Count, list.Groups[0].Message})
	requireProblem(t, b.call("GET", "/api/v1/failures?server=none", ""), 404, openapi.CodeNotFound)

	for _, query := range []string{"search=invoice", "search=" + file.UUID[:8], "error_kind=permission&error_kind=missing&search=invoice"} {
		page := decode[openapi.FilePage](t, b.call("GET", "/api/v1/files?"+query, ""))
		require.Len(t, page.Files, 1, query)
		require.Equal(t, file.UUID, page.Files[0].FileUUID)
	}
	require.Empty(t, decode[openapi.FilePage](t, b.call("GET", "/api/v1/files?step=upload", "")).Files)
	requireProblem(t, b.call("GET", "/api/v1/files?step=dance", ""), 400, openapi.CodeInvalid)
	counted := b.call("POST", "/api/v1/files:skip", `{"filter":{"search":"INVOICE","error_kind":["permission"]},"reason":"r","dry_run":true}`)
	require.EqualValues(t, 1, decode[openapi.BulkResult](t, counted).Matched, counted.Body)
	counted = b.call("POST", "/api/v1/files:skip", `{"filter":{"step":["upload"]},"reason":"r","dry_run":true}`)
	require.EqualValues(t, 0, decode[openapi.BulkResult](t, counted).Matched, counted.Body)
}

func TestStatisticsOfPeriods(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.failed(t, b.server(t, "acme"), "/in/a")
	for query, want := range map[string][]any{"": {"hour", 24}, "?period=7d": {"day", 7}, "?period=30d&server=acme": {"day", 30}} {
		answer := b.call("GET", "/api/v1/statistics"+query, "")
		require.Equal(t, 200, answer.Code, answer.Body)
		stats := decode[openapi.Statistics](t, answer)
		require.Equal(t, want, []any{string(stats.Bucket), len(stats.Buckets)})
		failed := int64(0)
		for _, bucket := range stats.Buckets {
			failed += bucket.Failed
		}
		require.EqualValues(t, 1, failed)
		require.Len(t, stats.Servers, 1)
		require.Equal(t, []any{"acme", int64(1)}, []any{stats.Servers[0].Server, stats.Servers[0].Failed})
	}
	requireProblem(t, b.call("GET", "/api/v1/statistics?period=1y", ""), 400, openapi.CodeInvalid)
}

func TestServerScanStatesOriginAndExclusions(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := b.server(t, "acme")
	require.NoError(t, b.store.FinishScan(t.Context(), ingest.ScanResult{
		ServerUUID: server.UUID, Key: "k", Took: time.Minute, Counts: ingest.ScanCounts{Seen: 3, New: 2},
		Origin:   ingest.ScanOrigin{Source: ingest.SourceManual, RequestedBy: "alice"},
		Excluded: ingest.Unmatched{Count: 7, Example: "/in/x.bak"},
	}))
	list := decode[openapi.ScanList](t, b.call("GET", "/api/v1/scans", ""))
	require.Len(t, list.Scans, 1)
	answer := b.call("GET", "/api/v1/server-scans/1", "")
	require.Equal(t, 200, answer.Code, answer.Body)
	scan := decode[openapi.Listing](t, answer)
	require.Equal(t, list.Scans[0], scan)
	require.Equal(t, []any{"manual", "alice", int64(7), "/in/x.bak", int64(60_000)},
		[]any{*scan.Source, *scan.RequestedBy, scan.Excluded, *scan.ExcludedExample, *scan.DurationMs})
	requireProblem(t, b.call("GET", "/api/v1/server-scans/99", ""), 404, openapi.CodeNotFound)
}

func TestDraftsAreTestedAndNotStored(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.server(t, "acme")
	draft := `{"host":"sftp.example.com","username":"u","password":"canary"`
	tested := decode[openapi.ServerTest](t, b.call("POST", "/api/v1/servers:test", draft+"}"))
	require.False(t, tested.Ok)
	require.Equal(t, b.prober.presented.Fingerprint, *tested.Fingerprint)
	require.Contains(t, *tested.Error, "no credentials were sent")
	answer := b.call("POST", "/api/v1/servers:test?sample=true", draft+`,"host_keys":["`+b.prober.presented.KeyLine+`"]}`)
	require.Equal(t, 200, answer.Code, answer.Body)
	require.True(t, decode[openapi.ServerTest](t, answer).Ok)
	problem := requireProblem(t, b.call("POST", "/api/v1/servers:test", `{"name":"acme","host":"evil.example.com","username":"u"}`), 400, openapi.CodeInvalid)
	require.Contains(t, problem.Detail, "password", "stored credentials are not used")
	requireProblem(t, b.call("POST", "/api/v1/servers:test", `{"host":"`+strings.Repeat("a", 10)+`"}`), 400, openapi.CodeInvalid)
	require.Len(t, decode[openapi.ServerList](t, b.call("GET", "/api/v1/servers", "")).Servers, 1)
}

func TestEditsAreTestedAndNotStored(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.server(t, "acme")
	const path = "/api/v1/servers/acme"
	tag := b.call("GET", path, "").Header().Get("ETag")
	requireProblem(t, b.call("POST", path+":test-edit", `{"root_path":"/new"}`), 428, openapi.CodeNoIfMatch)
	requireProblem(t, b.call("POST", path+":test-edit", `{"root_path":"/new"}`, "If-Match", `"other"`), 412, openapi.CodePrecondition)
	requireProblem(t, b.call("POST", path+":test-edit", `{"host":"evil.example.com"}`, "If-Match", tag), 400, openapi.CodeInvalid)
	answer := b.call("POST", path+":test-edit?sample=true", `{"root_path":"/new","password":"p","host_keys":["`+b.prober.presented.KeyLine+`"]}`, "If-Match", tag)
	require.Equal(t, 200, answer.Code, answer.Body)
	require.True(t, decode[openapi.ServerTest](t, answer).Ok)
	require.Equal(t, tag, b.call("GET", path, "").Header().Get("ETag"), "nothing is stored")
	operator := decode[openapi.NewToken](t, b.call("POST", "/api/v1/tokens", `{"name":"op-edit","role":"operator"}`))
	requireProblem(t, b.call("POST", path+":test-edit", `{"port":23}`, "If-Match", "*", "Authorization", "Bearer "+operator.Token), 403, openapi.CodeForbidden)
}
