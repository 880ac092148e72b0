package api

import (
	"fmt"
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
		"GET /api/v1/files?error_kind=Bad":                                            {"error_kind.0: use one of transient, slow, auth, "},
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

// TestRefusalsAreBounded: a request can have more problems than a response should hold.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	var fields []string
	for i := range 1000 {
		fields = append(fields, fmt.Sprintf("%q:1", fmt.Sprint(strings.Repeat("x", 40), i)))
	}
	for body, last := range map[string]string{
		`{"filter":{"file_uuids":["` + strings.Repeat(`no-uuid","`, 499) + `no-uuid"]},"reason":"test"}`: "and 450 more problems",
		`{` + strings.Join(fields, ",") + `}`: "and 952 more problems", // and two missing properties
	} {
		answer := b.call("POST", "/api/v1/files:retry", body)
		require.Less(t, answer.Body.Len(), 32<<10)
		problem := requireProblem(t, answer, 400, openapi.CodeInvalid)
		errors := *problem.Errors
		require.Contains(t, errors[len(errors)-1].Message, last)
	}
}
