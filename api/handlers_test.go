package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

const (
	testToken = "canary-token"
	fileUUID  = servicedouble.UUID
	scanUUID  = "aaaaaaaa-1111-4222-8333-444444444444"
)

// testBundle is the API on a double of the service, and its log.
type testBundle struct {
	handler http.Handler
	ops     *servicedouble.Service
	log     *bytes.Buffer
}

// setup returns the API with the bootstrap token, a token "stv_ROLE" of each role and one of an
// unknown role. change, if given, changes its dependencies.
func setup(ops *servicedouble.Service, change ...func(*Deps)) *testBundle {
	b := &testBundle{ops: ops, log: &bytes.Buffer{}}
	ops.Principals = map[string]ingest.Principal{}
	for _, role := range append([]ingest.Role{"wizard"}, ingest.Roles...) {
		ops.Principals["stv_"+string(role)] = ingest.Principal{Name: string(role) + "-1", Role: role}
	}
	ops.Scan = operations.ScanRun{UUID: scanUUID, WorkflowID: "scan/" + scanUUID, RunID: "run-1"}
	deps := Deps{Operations: ops, Access: ops, Token: testToken, Log: b.logger()}
	for _, apply := range change {
		apply(&deps)
	}
	b.handler = NewHandler(deps)
	return b
}

func (b *testBundle) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// call sends a request with the token; header pairs may override it.
func (b *testBundle) call(method, path, body string, header ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request := httptest.NewRequest(method, path, reader)
	request.Header.Set("Authorization", "Bearer "+testToken)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	b.handler.ServeHTTP(recorder, request)
	return recorder
}

func decode[T any](t *testing.T, answer *httptest.ResponseRecorder) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &value), "body: %s", answer.Body)
	return value
}

func requireProblem(t *testing.T, answer *httptest.ResponseRecorder, status int, code string) openapi.Problem {
	t.Helper()
	require.Equal(t, status, answer.Code, "body: %s", answer.Body)
	require.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
	problem := decode[openapi.Problem](t, answer)
	require.Equal(t, status, problem.Status)
	require.Equal(t, code, problem.Code)
	require.Equal(t, "about:blank", problem.Type)
	require.Equal(t, http.StatusText(status), problem.Title)
	require.NotEmpty(t, problem.Detail)
	require.NotContains(t, problem.Detail, "\n")
	require.NotNil(t, problem.RequestID)
	return problem
}

func TestScanStartsForServersOfQueryAndBody(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	answer := b.call("POST", "/files/scan?server=a&server=b", `{"servers":["c"]}`)
	require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
	require.Equal(t, []string{"a", "b", "c"}, b.ops.ScannedServers)
	accepted := decode[openapi.ScanAccepted](t, answer)
	require.Equal(t, "scan/"+scanUUID, accepted.WorkflowID)
	require.Equal(t, "/api/v1/scans/"+scanUUID, accepted.StatusURL)
	require.Equal(t, accepted.StatusURL, answer.Header().Get("Location"))
	for _, body := range []string{"", "{}"} {
		require.Equal(t, http.StatusAccepted, b.call("POST", "/files/scan", body).Code)
		require.Empty(t, b.ops.ScannedServers, "all servers")
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
		detail string
	}{
		"Temporal is down": {ingest.Errorf(ingest.KindTransient, "cannot reach Temporal: check TEMPORAL_ADDRESS"), 503, openapi.CodeUnavailable, "TEMPORAL_ADDRESS"},
		"too slow":         {context.DeadlineExceeded, 503, openapi.CodeUnavailable, "/readyz"},
		"unknown server":   {ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no server is called x"), 404, openapi.CodeNotFound, "no server is called x"},
		"old schema":       {ingest.Wrap(ingest.KindMissing, errors.New("canary"), "run `stevedore migrate`"), 503, openapi.CodeUnavailable, "migrate"},
		"paused server":    {ingest.Errorf(ingest.KindInvalid, "server x is paused"), 400, openapi.CodeInvalid, "paused"},
		"conflict":         {ingest.Errorf(ingest.KindConflict, "taken"), 409, openapi.CodeConflict, "taken"},
		"source gone":      {ingest.Errorf(ingest.KindSourceGone, "a.csv is gone"), 409, openapi.CodeConflict, "a.csv is gone"},
		"suspended":        {ingest.Errorf(ingest.KindSuspended, "acme is suspended"), 409, openapi.CodeConflict, "suspended"},
		"no staging":       {ingest.Errorf(ingest.KindStagingUnavailable, "mount it"), 503, openapi.CodeUnavailable, "mount it"},
		"unclassified":     {errors.New("canary: dial 10.0.0.7"), 500, openapi.CodeInternal, "request id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := setup(&servicedouble.Service{Err: tc.err}).call("POST", "/files/scan", "")
			problem := requireProblem(t, answer, tc.status, tc.code)
			require.Contains(t, problem.Detail, tc.detail)
			require.NotContains(t, answer.Body.String(), "canary")
		})
	}
}

func TestPanicIsAProblem(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{}, func(d *Deps) { d.Operations = struct{ operations.Operations }{} })
	answer := b.call("GET", "/api/v1/servers", "")
	requireProblem(t, answer, 500, openapi.CodeInternal)
	require.NotContains(t, answer.Body.String(), "nil pointer")
	require.Contains(t, b.log.String(), "nil pointer")
}

func TestReadinessNamesThePartThatIsDown(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	b := setup(&servicedouble.Service{Parts: []operations.PartStatus{
		{Part: "broker"}, {Part: "postgres", Err: ingest.Wrap(ingest.KindTransient, errors.New("canary"), "cannot reach mq:5672 as u")},
	}}, func(d *Deps) { d.Now = func() time.Time { return now } })
	for _, stranger := range []string{"", "Bearer nope", "Bearer " + servicedouble.Unreachable} {
		answer := b.call("GET", "/readyz", "", "Authorization", stranger)
		require.Equal(t, 503, answer.Code)
		require.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
		require.Empty(t, answer.Header().Get("WWW-Authenticate"))
		problem := decode[openapi.ReadinessProblem](t, answer)
		require.Equal(t, openapi.CodeNotReady, problem.Code)
		require.Equal(t, "postgres is down", problem.Detail)
		require.Equal(t, []openapi.Part{{Name: "broker", Ready: true}, {Name: "postgres"}}, problem.Parts)
	}
	for _, known := range []string{testToken, "stv_viewer"} {
		problem := decode[openapi.ReadinessProblem](t, b.call("GET", "/readyz", "", "Authorization", "Bearer "+known))
		require.Equal(t, "postgres: cannot reach mq:5672 as u", problem.Detail)
		require.Equal(t, []openapi.Part{{Name: "broker", Ready: true}, {Name: "postgres", Message: "cannot reach mq:5672 as u"}}, problem.Parts)
	}
	require.Equal(t, 1, strings.Count(b.log.String(), "postgres: cannot reach mq:5672 as u"), "the message is logged once")
	require.Equal(t, 1, b.ops.ReadyCalls, "strangers cannot make all parts answer again and again")

	b.ops.Parts = b.ops.Parts[:1]
	require.Equal(t, 503, b.call("GET", "/readyz", "").Code)
	now = now.Add(web.ReadyFor)
	ready := decode[openapi.Readiness](t, b.call("GET", "/readyz", ""))
	require.EqualValues(t, "ready", ready.Status)
	require.Equal(t, 2, b.ops.ReadyCalls)
}

// TestReadinessWithoutOtherParts: the console stays reachable behind a load balancer.
func TestReadinessWithoutOtherParts(t *testing.T) {
	t.Parallel()
	parts := []operations.PartStatus{{Part: operations.PartPostgres}, {Part: operations.PartKeyset}}
	for _, part := range []string{operations.PartTemporal, operations.PartWorker, operations.PartObjectStore, operations.PartBroker} {
		parts = append(parts, operations.PartStatus{Part: part, Err: errors.New("down")})
	}
	answer := setup(&servicedouble.Service{Parts: parts}).call("GET", "/readyz", "")
	require.Equal(t, 200, answer.Code)
	ready := decode[openapi.Readiness](t, answer)
	require.Equal(t, openapi.ReadinessDegraded, ready.Status)
	for i, part := range ready.Parts {
		require.Equal(t, i < 2, part.Ready, part.Name)
	}
	parts[1].Err = errors.New("foreign keyset")
	require.Equal(t, 503, setup(&servicedouble.Service{Parts: parts}).call("GET", "/readyz", "").Code)
}

func TestFilesCursorIsGoodForItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{Files: []ingest.File{{ID: 10, UUID: "u10"}, {ID: 20, UUID: "u20"}}})
	cursors := map[string]string{}
	for _, order := range []string{"oldest", "newest"} {
		page := decode[openapi.FilePage](t, b.call("GET", "/api/v1/files?limit=1&order="+order, ""))
		require.EqualValues(t, order, b.ops.Filter.Order)
		cursors[order] = *page.NextCursor
		require.Equal(t, 200, b.call("GET", "/api/v1/files?order="+order+"&cursor="+cursors[order], "").Code)
		require.EqualValues(t, 10, b.ops.Filter.AfterID)
	}
	refused := requireProblem(t, b.call("GET", "/api/v1/files?order=newest&cursor="+cursors["oldest"], ""), 400, openapi.CodeInvalid)
	require.Contains(t, refused.Detail, "order=oldest")
	for _, query := range []string{"", "order=oldest&"} {
		refused = requireProblem(t, b.call("GET", "/api/v1/files?"+query+"cursor="+cursors["newest"], ""), 400, openapi.CodeInvalid)
		require.Contains(t, refused.Detail, "order=newest")
	}
	requireProblem(t, b.call("GET", "/api/v1/files?order=size", ""), 400, openapi.CodeInvalid)
}

func TestEventsPageByOpaqueCursor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600))
	b := setup(&servicedouble.Service{Events: []ingest.StoredEvent{{ID: 3, Type: ingest.EventSettled, Timestamp: at}, {ID: 5, Type: ingest.EventDownloaded, Timestamp: at}}})
	path := "/api/v1/files/" + fileUUID + "/events?limit=1"
	cursor := *cursorEvents.write(3)
	require.JSONEq(t, `{"events":[{"id":3,"event_type":"settled","timestamp":"2026-01-02T02:04:05Z","details":{}}],"next_cursor":"`+cursor+`"}`, b.call("GET", path, "").Body.String())
	last := decode[openapi.EventList](t, b.call("GET", path+"&cursor="+cursor, ""))
	require.EqualValues(t, 5, last.Events[0].ID)
	require.Nil(t, last.NextCursor)
	requireProblem(t, b.call("GET", path+"&cursor="+*cursorFiles.write(3), ""), 400, openapi.CodeInvalid)
}
