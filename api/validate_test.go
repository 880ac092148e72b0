package api

import (
	"strings"
	"testing"

	"stevedore/api/openapi"
	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"
)

// TestRefusalsStateAcceptedValues in the words of the API, not of the validator, for every
// invalid field.
func TestRefusalsStateAcceptedValues(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	for call, want := range map[string][]string{
		"GET /api/v1/statistics?period=1y":                                            {"period: use one of 24h, 7d, 30d"},
		"GET /api/v1/files?limit=0":                                                   {"limit: use 1 or more"},
		"GET /api/v1/files?limit=5000":                                                {"limit: use 1000 or less"},
		"GET /api/v1/files?hash=abc":                                                  {"hash: use a SHA-256 of 64 hex digits"},
		"GET /api/v1/files?uuid=x":                                                    {"uuid: use a uuid, or at least its first 4 hex digits"},
		"GET /api/v1/files?error_kind=Bad":                                            {"error_kind.0: use a value such as permission"},
		"GET /api/v1/audit-log?action=" + strings.Repeat("x", 65):                     {"action: use at most 64 characters"},
		`POST /api/v1/servers {"name":"acme","host":"","username":"u","password":""}`: {"host: must not be empty"},
		`POST /api/v1/tokens {"name":"a b","role":"king","expires_in_days":0,"x":1}`: {
			"name: use ", "role: use one of viewer, operator, admin", "expires_in_days: use 1 or more", "x: ",
		},
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		problem := requireProblem(t, b.call(method, path, body), 400, openapi.CodeInvalid)
		var messages string
		for _, field := range *problem.Errors {
			messages += field.Message + "\n"
		}
		for _, message := range want {
			require.Contains(t, messages, message, call)
		}
		require.NotContains(t, messages, "regular expression", call)
	}
}
