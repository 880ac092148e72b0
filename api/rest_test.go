package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

const acme = `{"name":"acme","host":"sftp.example.com","username":"u","password":"canary-secret"}`

func TestServerLifeByREST(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	created := b.call("POST", "/api/v1/servers", acme)
	require.Equal(t, 201, created.Code, created.Body)
	require.NotContains(t, created.Body.String(), "canary")
	server := decode[openapi.Server](t, created)
	require.Equal(t, "/api/v1/servers/"+server.ServerUUID, created.Header().Get("Location"))
	require.Equal(t, "10s", server.Settle, "from the configuration")
	require.True(t, server.HasPassword)
	requireProblem(t, b.call("POST", "/api/v1/servers", acme), 409, openapi.CodeConflict)

	const path = "/api/v1/servers/acme"
	tag := b.call("GET", path, "").Header().Get("ETag")
	require.Equal(t, created.Header().Get("ETag"), tag)
	requireProblem(t, b.call("PATCH", path, `{"port":23}`), 428, openapi.CodeNoIfMatch)
	requireProblem(t, b.call("PATCH", path, `{"port":23}`, "If-Match", `"other"`), 412, openapi.CodePrecondition)
	requireProblem(t, b.call("PATCH", path, `{"port":23}`, "If-Match", `"other", W/"another"`), 412, openapi.CodePrecondition)
	requireProblem(t, b.call("PATCH", path, `{"port":23}`, "If-Match", ` , "" `), 428, openapi.CodeNoIfMatch)
	for _, same := range []string{"W/" + tag, `"other", ` + tag, `"other",*`} {
		require.Equal(t, 200, b.call("PATCH", path, `{}`, "If-Match", same).Code, same)
	}
	asks := requireProblem(t, b.call("PATCH", path, `{"host":"evil.example.com","port":2222,"username":"x"}`, "If-Match", tag), 400, openapi.CodeInvalid)
	require.Equal(t, "password", (*asks.Errors)[0].Field, "the stored password is sent nowhere else")
	require.Contains(t, (*asks.Errors)[0].Message, "host, port, username of the server changed")
	require.Contains(t, (*asks.Errors)[0].Message, "--password-file")
	edited := b.call("PATCH", path, `{"port":2222,"password":"canary-again","settle":"5s","private_key":"","transfer":"direct"}`, "If-Match", tag)
	require.Equal(t, 200, edited.Code, edited.Body)
	require.Equal(t, "auto", server.Transfer)
	require.Equal(t, "direct", decode[openapi.Server](t, edited).Transfer)
	wrong := requireProblem(t, b.call("PATCH", path, `{"transfer":"teleport"}`, "If-Match", "*"), 400, openapi.CodeInvalid)
	require.Equal(t, "transfer", (*wrong.Errors)[0].Field)
	require.Equal(t, 2222, decode[openapi.Server](t, edited).Port)
	require.Equal(t, "5s", decode[openapi.Server](t, edited).Settle)
	requireProblem(t, b.call("PATCH", path, `{"port":23}`, "If-Match", tag), 412, openapi.CodePrecondition)
	problem := requireProblem(t, b.call("PATCH", path, `{"password":"","after_ingest":"move:/a/../b","include":["["]}`, "If-Match", "*"), 400, openapi.CodeInvalid)
	var fields []string
	for _, field := range *problem.Errors {
		fields = append(fields, field.Field)
	}
	require.ElementsMatch(t, []string{"after_ingest", "include", "credentials"}, fields)

	requireProblem(t, b.call("DELETE", path, ""), 428, openapi.CodeNoIfMatch)
	require.Equal(t, 204, b.call("DELETE", path, "", "If-Match", edited.Header().Get("ETag")).Code)
	requireProblem(t, b.call("GET", path, ""), 404, openapi.CodeNotFound)

	log := decode[openapi.AuditPage](t, b.call("GET", "/api/v1/audit-log", ""))
	var actions []string
	for _, entry := range log.Entries {
		require.Equal(t, "bootstrap", entry.Actor)
		actions = append(actions, entry.Action)
	}
	require.Equal(t, []string{"server.remove", "server.edit", "server.create", "server.create"}, actions)
	changed, err := json.Marshal(log.Entries[1].Details)
	require.NoError(t, err)
	require.Contains(t, string(changed), `"port":{"from":22,"to":2222}`)
	require.NotContains(t, string(changed), "canary")
	added := log.Entries[3].Changes
	require.Contains(t, added, "host: sftp.example.com", "a new server's settings that differ from the defaults")
	require.NotContains(t, strings.Join(added, "\n"), "max_depth")
}

func TestHostKeyIsApprovedByFingerprint(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.server(t, "acme")
	answer := b.call("POST", "/api/v1/servers/acme:test", "")
	require.Equal(t, 200, answer.Code, answer.Body)
	tested := decode[openapi.ServerTest](t, answer)
	require.False(t, tested.Ok)
	require.Equal(t, b.prober.presented.Fingerprint, *tested.Fingerprint)
	require.Equal(t, "host_key", *tested.ErrorKind)
	other := `{"fingerprint":"SHA256:` + strings.Repeat("A", 43) + `"}`
	requireProblem(t, b.call("POST", "/api/v1/servers/acme:approve-host-key", other), 409, openapi.CodeConflict)
	approved := decode[openapi.ServerTest](t, b.call("POST", "/api/v1/servers/acme:approve-host-key", `{"fingerprint":"`+b.prober.presented.Fingerprint+`"}`))
	require.True(t, approved.Ok && approved.Pinned)
	require.True(t, decode[openapi.ServerTest](t, b.call("POST", "/api/v1/servers/acme:test", "")).Ok)
	require.False(t, decode[openapi.Server](t, b.call("POST", "/api/v1/servers/acme:pause", "")).IsActive)
	requireProblem(t, b.call("POST", "/api/v1/servers/acme:scan", ""), 400, openapi.CodeInvalid)
	require.True(t, decode[openapi.Server](t, b.call("POST", "/api/v1/servers/acme:resume", "")).IsActive)
	scan := b.call("POST", "/api/v1/servers/acme:scan", "")
	require.Equal(t, 202, scan.Code)
	require.Equal(t, 200, b.call("GET", scan.Header().Get("Location"), "").Code)
}

// TestFault70_ServerEditedOrDeletedMidTransfer: an edit is audited; a removal
// is refused while a file is in flight.
func TestFault70_ServerEditedOrDeletedMidTransfer(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := b.server(t, "acme")
	file := b.failed(t, server, "/in/a.csv")
	require.Equal(t, 200, b.call("PATCH", "/api/v1/servers/acme", `{"host":"other.example.com","password":"p"}`, "If-Match", "*").Code)
	problem := requireProblem(t, b.call("DELETE", "/api/v1/servers/acme", "", "If-Match", "*"), 409, openapi.CodeConflict)
	require.Contains(t, problem.Detail, "1 file")
	require.NoError(t, b.store.Apply(t.Context(), ingest.Change{FileUUID: file.UUID, To: ingest.StatusSkipped}))
	require.Equal(t, 204, b.call("DELETE", "/api/v1/servers/acme", "", "If-Match", "*").Code)
	require.Equal(t, 200, b.call("GET", "/api/v1/files/"+file.UUID, "").Code, "the ledger keeps it")
	log := decode[openapi.AuditPage](t, b.call("GET", "/api/v1/audit-log", ""))
	require.Len(t, log.Entries, 3)
}

func TestFilesAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	acme, globex := b.server(t, "acme"), b.server(t, "globex")
	hostile := "/in/'; DROP TABLE files; --<script>.csv"
	for _, path := range []string{"/in/a.csv", "/in/deep/b.csv", "/out/c.txt", hostile} {
		b.failed(t, acme, path)
	}
	b.failed(t, globex, "/in/a.csv")
	count := func(query string) int {
		answer := b.call("GET", "/api/v1/files?"+query, "")
		require.Equal(t, 200, answer.Code, "%s: %s", query, answer.Body)
		return len(decode[openapi.FilePage](t, answer).Files)
	}
	for query, want := range map[string]int{
		"": 5, "server=acme": 4, "server=acme&status=error": 4, "status=completed": 0,
		"path=" + url.QueryEscape("/in/*.csv"):     3,
		"path=" + url.QueryEscape("**/*.csv"):      4,
		"path=" + url.QueryEscape("*.csv"):         4,
		"path=" + url.QueryEscape("/in/?.csv"):     2,
		"path=" + url.QueryEscape(hostile):         1,
		"path=" + url.QueryEscape("/in/(a|b).csv"): 0,
		"path=" + url.QueryEscape("/**/b.csv"):     1,
		"from=2020-01-01T00:00:00Z":                5,
		"to=2020-01-01T00:00:00Z":                  0,
		"hash=" + strings.Repeat("A", 64):          0,
	} {
		require.Equal(t, want, count(query), query)
	}
	requireProblem(t, b.call("GET", "/api/v1/files?hash=xyz", ""), 400, openapi.CodeInvalid)
	requireProblem(t, b.call("GET", "/api/v1/files?path="+url.QueryEscape("["), ""), 400, openapi.CodeInvalid)
	requireProblem(t, b.call("GET", "/api/v1/files?from=yesterday", ""), 400, openapi.CodeInvalid)

	var seen []string
	cursor := ""
	for page := 0; ; page++ {
		answer := decode[openapi.FilePage](t, b.call("GET", "/api/v1/files?limit=2&cursor="+cursor, ""))
		for _, file := range answer.Files {
			seen = append(seen, file.FileUUID)
		}
		if answer.NextCursor == nil {
			break
		}
		if page == 0 {
			b.failed(t, globex, "/in/late.csv")
		}
		cursor = *answer.NextCursor
	}
	require.Len(t, seen, 6, "rows that come meanwhile come last, and none twice")
}

func TestDecisionsByREST(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := b.server(t, "acme")
	var files []ingest.File
	for _, path := range []string{"/in/a.csv", "/in/b.csv", "/in/c.txt"} {
		files = append(files, b.failed(t, server, path))
	}
	one := "/api/v1/files/" + files[0].UUID
	require.Equal(t, 200, b.call("POST", one+":retry", `{"reason":"repaired","from":"download"}`, "Authorization", "Bearer "+testToken).Code)
	require.Equal(t, []string{"retry " + files[0].UUID + " by bootstrap"}, b.engine.decided)
	requireProblem(t, b.call("POST", one+":retry", `{"reason":" "}`), 400, openapi.CodeInvalid)
	requireProblem(t, b.call("POST", one+":retry", `{"reason":"x","from":"after_ingest"}`), 400, openapi.CodeInvalid)
	requireProblem(t, b.call("POST", "/api/v1/files/"+scanUUID+":skip", `{"reason":"x"}`), 404, openapi.CodeNotFound)

	dry := decode[openapi.BulkResult](t, b.call("POST", "/api/v1/files:skip", `{"filter":{"path":"*.csv"},"reason":"old","dry_run":true}`))
	require.EqualValues(t, 2, dry.Matched)
	require.Len(t, b.engine.decided, 1)
	requireProblem(t, b.call("POST", "/api/v1/files:skip", `{"filter":{},"reason":"old","expected_count":2}`), 409, openapi.CodeConflict)
	done := decode[openapi.BulkResult](t, b.call("POST", "/api/v1/files:skip", `{"filter":{"path":"*.csv"},"reason":"old","expected_count":2}`))
	require.Equal(t, openapi.BulkResult{Matched: 2, Done: 2, Failures: []openapi.BulkFailure{}}, done)
	b.engine.err = ingest.Errorf(ingest.KindConflict, "not now")
	refused := decode[openapi.BulkResult](t, b.call("POST", "/api/v1/files:retry", `{"filter":{"server":"acme"},"reason":"again"}`))
	require.EqualValues(t, 3, refused.Failed)
	require.Contains(t, refused.Failures[0].Message, "not now")
	requireProblem(t, b.call("POST", "/api/v1/files:retry", `{"filter":{},"reason":"again"}`, "Authorization", "Bearer unknown"), 401, openapi.CodeUnauthorized)
}

// TestRequestsThatFailedMayBeSentAgain under the same key, unless another request has it.
// TestEveryOperationIsAsSpecified repeats requests that succeeded.
func TestRequestsThatFailedMayBeSentAgain(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.engine.err = ingest.Errorf(ingest.KindTransient, "Temporal is down")
	requireProblem(t, b.call("POST", "/files/scan", "", "Idempotency-Key", "k2"), 503, openapi.CodeUnavailable)
	b.engine.err = nil
	require.Equal(t, 202, b.call("POST", "/files/scan", "", "Idempotency-Key", "k2").Code, "what failed on our side may be tried again")

	key := ingest.RequestKey{Principal: requestsOf(ingest.Principal{Name: ingest.BootstrapToken, TokenID: ingest.TokenID(access.DigestOf(testToken))}), Key: "k3"}
	_, begun, err := b.store.BeginRequest(t.Context(), key, []byte("other"))
	require.NoError(t, err)
	require.True(t, begun)
	requireProblem(t, b.call("POST", "/files/scan", "", "Idempotency-Key", "k3"), 422, openapi.CodeKeyReused)
}

// TestIdempotencyKeysAreBoundToTheToken: a token with the name of a revoked token gets
// none of the responses stored for the revoked one.
func TestIdempotencyKeysAreBoundToTheToken(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	token := func() string {
		made := b.call("POST", "/api/v1/tokens", `{"name":"ci","role":"admin"}`)
		require.Equal(t, 201, made.Code, made.Body)
		return decode[openapi.NewToken](t, made).Token
	}
	first := token()
	ask := func(secret string) *httptest.ResponseRecorder {
		return b.call("POST", "/api/v1/servers", acme, "Idempotency-Key", "k1", "Authorization", "Bearer "+secret)
	}
	require.Equal(t, 201, ask(first).Code)
	require.Equal(t, 201, ask(first).Code)
	require.Equal(t, 200, b.call("DELETE", "/api/v1/tokens/ci", "").Code)
	answer := ask(token())
	requireProblem(t, answer, 409, openapi.CodeConflict)
	require.Empty(t, answer.Header().Get("Idempotency-Replayed"))
}

// TestEqualConcurrentRequests: equal requests return a conflict while the first one runs,
// and its response afterwards.
func TestEqualConcurrentRequests(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	file := b.failed(t, b.server(t, "acme"), "/in/a.csv")
	b.engine.blocked = make(chan struct{})
	ask := func() *httptest.ResponseRecorder {
		return b.call("POST", "/api/v1/files/"+file.UUID+":skip", `{"reason":"old"}`, "Idempotency-Key", "k1")
	}
	const requests = 8
	answers := make(chan *httptest.ResponseRecorder, requests)
	for range requests {
		go func() { answers <- ask() }()
	}
	late := time.After(time.Minute)
	for range requests - 1 {
		var answer *httptest.ResponseRecorder
		select {
		case answer = <-answers:
		case <-late:
			close(b.engine.blocked)
			t.Fatal("more than one request acts")
		}
		requireProblem(t, answer, 409, openapi.CodeConflict)
		require.Equal(t, "1", answer.Header().Get("Retry-After"))
	}
	close(b.engine.blocked)
	first := <-answers
	require.Equal(t, 200, first.Code)
	again := ask()
	require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	require.Equal(t, first.Body.String(), again.Body.String())
	require.Len(t, b.engine.decided, 1)
}

func TestChangesAreStreamedFromTheLastOneSeen(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := b.server(t, "acme")
	file := b.failed(t, server, "/in/a.csv")
	events, err := b.store.EventsAfter(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Len(t, events, 2)

	listening := httptest.NewServer(b.handler)
	defer listening.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answer := b.listen(t, ctx, listening.URL, testToken, "Last-Event-ID", "1")
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	next := func() (change openapi.Change) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				require.NoError(t, json.Unmarshal([]byte(data), &change))
				return change
			}
		}
		require.NoError(t, lines.Err())
		return change
	}
	change := next()
	require.Equal(t, events[1].ID, change.ID, "what it had is not sent again")
	require.Equal(t, file.UUID, change.FileUUID)
	require.Equal(t, "error", change.EventType)
	require.NoError(t, b.store.Apply(ctx, ingest.Change{
		FileUUID: file.UUID, To: ingest.StatusSkipped, Events: []ingest.Event{{Type: ingest.EventOperatorAction, Key: "1"}},
	}))
	change = next()
	require.Equal(t, "operator_action", change.EventType)
	require.Equal(t, openapi.StatusSkipped, change.Status)
}

// listen opens a stream of changes with a token and header pairs.
func (b *realBundle) listen(t *testing.T, ctx context.Context, url, token string, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/changes", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// TestStreamsEndWithTheirToken: a stream ends when its token is revoked or expires.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	var clock atomic.Int64
	listening := httptest.NewServer(NewHandler(Deps{
		Operations: b.admin, Access: b.tokens, Token: testToken, Log: quiet(), Now: func() time.Time { return time.Unix(clock.Load(), 0) },
	}))
	defer listening.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	made := decode[openapi.NewToken](t, b.call("POST", "/api/v1/tokens", `{"name":"reader","role":"viewer"}`))
	stream := b.listen(t, ctx, listening.URL, made.Token)
	require.Equal(t, 200, stream.StatusCode)
	require.Equal(t, "no", stream.Header.Get("X-Accel-Buffering"))
	require.Equal(t, 200, b.call("DELETE", "/api/v1/tokens/reader", "").Code)
	clock.Add(int64(changesRecheck / time.Second))
	_, err := io.Copy(io.Discard, stream.Body)
	require.NoError(t, err, "it ends by itself")
	require.Equal(t, 401, b.listen(t, ctx, listening.URL, made.Token).StatusCode)
}

func TestStreamsOfATokenAreLimited(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	listening := httptest.NewServer(b.handler)
	defer listening.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, leave := context.WithCancel(ctx)
	require.Equal(t, 200, b.listen(t, first, listening.URL, testToken).StatusCode)
	for range access.MaxStreams - 1 {
		require.Equal(t, 200, b.listen(t, ctx, listening.URL, testToken).StatusCode)
	}
	require.Equal(t, 429, b.listen(t, ctx, listening.URL, testToken).StatusCode)
	leave()
	for b.listen(t, ctx, listening.URL, testToken).StatusCode != 200 { // until ctx ends
	}
}

func TestVersionNamesSettingsOnly(t *testing.T) {
	t.Parallel()
	server := ingest.Server{Name: "a", Active: true}
	scanned := server
	scanned.LastScanAt, scanned.LastError, scanned.UpdatedAt = time.Unix(1, 0), "x", time.Unix(1, 0)
	require.Equal(t, operations.ServerVersion(server), operations.ServerVersion(scanned))
	paused := server
	paused.Active = false
	require.NotEqual(t, operations.ServerVersion(server), operations.ServerVersion(paused))
}
