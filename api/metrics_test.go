package api

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/telemetry"
)

func TestMetricsOfARealLedger(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := b.server(t, "acme")
	b.failed(t, server, "/out/canary-path.csv")
	require.NoError(t, b.store.SuspendServer(t.Context(), server.UUID, "canary-message"))
	require.Equal(t, 200, b.call("GET", "/api/v1/files", "").Code)
	require.Equal(t, 404, b.call("GET", "/api/v1/canary-nothing", "").Code)
	b.call("GET", "/servers/canary-name", "", "Authorization", "") // of the console

	answer := b.call("GET", "/metrics", "")
	require.Equal(t, 200, answer.Code, answer.Body)
	require.Equal(t, telemetry.ContentType, answer.Header().Get("Content-Type"))
	for _, line := range []string{
		`stevedore_ledger_up 1`, `stevedore_files{status="error"} 1`, `stevedore_files{status="completed"} 0`,
		`stevedore_server_suspended{server="acme"} 1`, `stevedore_server_late{server="acme"} 0`,
		`stevedore_part_up{part="temporal"} 1`, `stevedore_oldest_file_age_seconds{state="error"} `,
		`stevedore_http_request_duration_seconds_count{method="GET",route="/api/v1/files",status="200"} 1`,
		`stevedore_http_request_duration_seconds_count{method="GET",route="other",status="404"} 1`,
		`stevedore_http_request_duration_seconds_count{method="GET",route="/servers/{server}",status="303"} 1`,
		`go_goroutines `, `process_open_fds `,
	} {
		require.Contains(t, answer.Body.String(), "\n"+line)
	}
	for _, secret := range []string{"canary", testToken, server.UUID} {
		require.NotContains(t, answer.Body.String(), secret)
	}
	for _, status := range ingest.Statuses {
		require.Contains(t, answer.Body.String(), `stevedore_files{status="`+string(status)+`"}`)
	}
}

// TestMetricsWithoutALedger: failed dependencies are reported; other metrics remain.
func TestMetricsWithoutALedger(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	b.server(t, "acme")
	b.engine.fail(ingest.Errorf(ingest.KindTransient, "canary-away"))
	b.store.Close()
	answer := b.call("GET", "/metrics", "")
	require.Equal(t, 200, answer.Code, answer.Body)
	require.Contains(t, answer.Body.String(), "\nstevedore_ledger_up 0\n")
	require.Contains(t, answer.Body.String(), `stevedore_part_up{part="temporal"} 0`)
	require.NotContains(t, answer.Body.String(), "stevedore_files{")
	require.NotContains(t, answer.Body.String(), "canary")
}

// TestFault65_MetricsNeedAToken: the lowest role is sufficient; a request without a token is refused.
func TestFault65_MetricsNeedAToken(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	created := b.call("POST", "/api/v1/tokens", `{"name":"prometheus","role":"viewer"}`)
	token := decode[openapi.NewToken](t, created).Token
	require.Equal(t, 200, b.call("GET", "/metrics", "", "Authorization", "Bearer "+token).Code)
	for _, header := range []string{"", "Bearer nope", "Basic " + token} {
		answer := b.call("GET", "/metrics", "", "Authorization", header)
		requireProblem(t, answer, 401, openapi.CodeUnauthorized)
		require.NotContains(t, answer.Body.String(), "stevedore_")
	}
}

// TestStreamsAreCountedApart: a stream that is open for a day would distort the
// metrics of requests.
func TestStreamsAreCountedApart(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	server := httptest.NewServer(b.handler)
	defer server.Close()
	answer := b.listen(t, t.Context(), server.URL, testToken)
	require.Equal(t, 200, answer.StatusCode)
	require.Contains(t, b.call("GET", "/metrics", "").Body.String(), "\nstevedore_http_streams 1\n")
	require.NoError(t, answer.Body.Close())
	require.Eventually(t, func() bool {
		text := b.call("GET", "/metrics", "").Body.String()
		return strings.Contains(text, "\nstevedore_http_streams 0\n")
	}, 2*time.Minute, 20*time.Millisecond)
	require.NotContains(t, b.call("GET", "/metrics", "").Body.String(), `route="/api/v1/changes"`)
}
