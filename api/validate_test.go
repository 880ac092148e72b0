package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefusalsStateAcceptedValues in the words of the API, not of the validator.
func TestRefusalsStateAcceptedValues(t *testing.T) {
	t.Parallel()
	b := setup(&fakeOperations{})
	for call, want := range map[string]string{
		"GET /api/v1/statistics?period=1y":                                            "period: use one of 24h, 7d, 30d",
		"GET /api/v1/files?limit=0":                                                   "limit: use 1 or more",
		"GET /api/v1/files?limit=5000":                                                "limit: use 1000 or less",
		"GET /api/v1/audit-log?action=" + strings.Repeat("x", 65):                     "action: use at most 64 characters",
		`POST /api/v1/tokens {"name":"ci","role":""}`:                                 "role: use one of viewer, operator, admin",
		`POST /api/v1/servers {"name":"acme","host":"","username":"u","password":""}`: "host: must not be empty",
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		answer := b.call(method, path, body)
		require.Equal(t, http.StatusBadRequest, answer.Code, call)
		require.Contains(t, requireProblem(t, answer, 400, codeInvalid).Detail+answer.Body.String(), want, call)
	}
}
