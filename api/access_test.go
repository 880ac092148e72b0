package api

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// wrongTokens is the burst of wrong tokens allowed per address, see package access.
const wrongTokens = 30

// TestFault65_RequestsWithoutATokenAreRefused on all paths except the two probes. Pages send
// browsers to the login. TestEveryOperationIsAsSpecified sends each operation without a token
// and with tokens of each role.
func TestFault65_RequestsWithoutATokenAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	for _, path := range []string{"/api/v1/servers", "/openapi.yaml", "/docs", "/docs/swagger-ui.css", "/files/scan", "/api/", "/api/v1/nothing", "/metrics"} {
		answer := b.call("GET", path, "", "Authorization", "")
		problem := requireProblem(t, answer, 401, openapi.CodeUnauthorized)
		require.Contains(t, problem.Detail, "stevedore token create", path)
		require.Contains(t, answer.Header().Get("WWW-Authenticate"), "Bearer")
	}
	for _, path := range []string{"/", "/nothing", "//", "/livez/", "/LIVEZ", "/files"} {
		answer := b.call("GET", path, "", "Authorization", "")
		require.Contains(t, []int{http.StatusSeeOther, http.StatusMovedPermanently, http.StatusTemporaryRedirect}, answer.Code, path)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		require.Equal(t, http.StatusOK, b.call("GET", path, "", "Authorization", "").Code, path)
	}
	require.Equal(t, http.StatusOK, b.call("GET", "/api/v1/servers", "", "Authorization", "bearer "+testToken).Code, "the scheme's case does not matter")
	for _, header := range []string{"Bearer nope", "Basic " + testToken, testToken} {
		requireProblem(t, b.call("GET", "/api/v1/servers", "", "Authorization", header), 401, openapi.CodeUnauthorized)
	}
	requireProblem(t, b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer stv_wizard"), 403, openapi.CodeForbidden)
	requireProblem(t, b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer "+servicedouble.Unreachable), 503, openapi.CodeUnavailable)
	require.NotContains(t, b.log.String(), testToken)
}

// TestFault66_EncodedSlashesAreRefused: a path that proxies may interpret
// differently is refused, with or without a token.
func TestFault66_EncodedSlashesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{Servers: []ingest.Server{{Name: "acme"}}})
	for _, path := range []string{
		"/api/v1/servers/a%2Fb", "/api/v1/servers/a%2fb", "/livez%2F..%2Fapi%2Fv1%2Fservers", "/api/v1/servers/..%5c..%5cx", "/api/v1/servers/acme%00",
	} {
		requireProblem(t, b.call("GET", path, ""), 400, openapi.CodeInvalid)
		requireProblem(t, b.call("GET", path, "", "Authorization", ""), 400, openapi.CodeInvalid)
	}
	for _, path := range []string{"/livez/../api/v1/servers", "/livez/..", "/./api/v1/servers", "/api/v1/servers/acme:pause%20"} {
		require.Contains(t, []int{401, 404, http.StatusTemporaryRedirect}, b.call("GET", path, "", "Authorization", "").Code, path)
	}
}

// TestFault66_ForwardedForIsIgnored: without trusted proxies, the address of the
// connection is logged and used to count wrong tokens.
func TestFault66_ForwardedForIsIgnored(t *testing.T) {
	t.Parallel()
	stopped := time.Unix(1, 0) // no wrong token is forgotten meanwhile
	b := setup(&servicedouble.Service{}, func(d *Deps) { d.Now = func() time.Time { return stopped } })
	b.call("GET", "/api/v1/servers", "", "X-Forwarded-For", "6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Request-Id", "forged\nline")
	require.NotContains(t, b.log.String(), "6.6.6.6")
	require.NotContains(t, b.log.String(), "forged")
	for i := range wrongTokens {
		answer := b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer nope", "X-Forwarded-For", "10.0.0."+string(rune('0'+i%10)))
		requireProblem(t, answer, 401, openapi.CodeUnauthorized)
	}
	answer := b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer nope", "X-Forwarded-For", "10.9.9.9")
	requireProblem(t, answer, 429, openapi.CodeRateLimited)
	require.Equal(t, "1", answer.Header().Get("Retry-After"))
	require.Equal(t, 200, b.call("GET", "/api/v1/servers", "").Code, "the right token still works from there")
	require.Equal(t, 200, b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer stv_viewer").Code, "everybody's")
	stopped = stopped.Add(time.Second)
	requireProblem(t, b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer nope"), 401, openapi.CodeUnauthorized)
}

// TestForwardedForOfTrustedProxiesIsUsed: clients behind a proxy have separate limits of
// wrong tokens, and no client can forge the address of another.
func TestForwardedForOfTrustedProxiesIsUsed(t *testing.T) {
	t.Parallel()
	stopped := time.Unix(1, 0)
	b := setup(&servicedouble.Service{}, func(d *Deps) {
		d.Now = func() time.Time { return stopped }
		d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fd00::/8")} // httptest's is in the first
	})
	wrong := func(forwarded string) int {
		return b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer nope", "X-Forwarded-For", forwarded).Code
	}
	for range wrongTokens {
		require.Equal(t, 401, wrong("10.0.0.1"))
	}
	require.Equal(t, 429, wrong("10.0.0.1"))
	require.Equal(t, 429, wrong("6.6.6.6, 10.0.0.1"), "what the client wrote before the proxy is not believed")
	require.Equal(t, 429, wrong("10.0.0.1, fd00::1"), "a second proxy")
	require.Equal(t, 401, wrong("10.0.0.2"))
	require.Contains(t, b.log.String(), "peer=10.0.0.2")
	require.NotContains(t, b.log.String(), "peer=6.6.6.6")
}

func TestRequestsAreLimitedByPrincipal(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{}, func(d *Deps) { d.RequestsPerSecond = 0.01 })
	require.Equal(t, 200, b.call("GET", "/api/v1/servers", "").Code)
	answer := b.call("GET", "/api/v1/servers", "")
	requireProblem(t, answer, 429, openapi.CodeRateLimited)
	require.Equal(t, "100", answer.Header().Get("Retry-After"))
	require.Equal(t, 200, b.call("GET", "/api/v1/servers", "", "Authorization", "Bearer stv_viewer").Code, "others are not slowed down")
	require.Equal(t, 200, b.call("GET", "/livez", "").Code)
}
