package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/operations"
)

// TestHSTS: all responses to TLS clients set HSTS, pages included.
func TestHSTS(t *testing.T) {
	t.Parallel()
	b := setup(&fakeOperations{})
	for _, path := range []string{"/livez", "/login", "/api/v1/files", "/nothing"} {
		answer := b.call(http.MethodGet, path, "", "X-Forwarded-Proto", "https")
		require.Equal(t, "max-age=31536000", answer.Header().Get("Strict-Transport-Security"), path)
		require.Empty(t, b.call(http.MethodGet, path, "").Header().Get("Strict-Transport-Security"), path)
	}
}

func TestTestsOfServersHaveALongTimeLimit(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]time.Duration{
		"/api/v1/servers:test":                  operations.MaxTest,
		"/api/v1/servers/acme:test":             operations.MaxTest,
		"/api/v1/servers/acme:approve-host-key": operations.MaxTest,
		"/api/v1/servers/acme:pause":            handlerTimeout,
		"/api/v1/servers":                       handlerTimeout,
		"/api/v1/changes":                       0,
	} {
		limit, _ := timeout(httptest.NewRequest(http.MethodPost, path, nil))
		require.Equal(t, want, limit, path)
	}
}
