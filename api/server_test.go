package api

import (
	"net/http"
	"testing"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"
)

// TestHSTS: all responses to TLS clients set HSTS, pages included.
func TestHSTS(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	for _, path := range []string{"/livez", "/login", "/api/v1/files", "/nothing"} {
		answer := b.call(http.MethodGet, path, "", "X-Forwarded-Proto", "https")
		require.Equal(t, "max-age=31536000", answer.Header().Get("Strict-Transport-Security"), path)
		require.Empty(t, b.call(http.MethodGet, path, "").Header().Get("Strict-Transport-Security"), path)
	}
}
