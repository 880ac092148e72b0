package api

import (
	"fmt"
	"regexp"
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
		"GET /api/v1/files?error_kind=Bad":                                            {"error_kind: use one of transient, slow, auth, "},
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

// libraryWords matches the words of libraries and Go, which no answer may contain.
var libraryWords = regexp.MustCompile(`json:|unmarshal|invalid syntax|regular expression|[Nn]ullable|EOF|Go struct|Go value|\*uuid|\[\w+ \w+|` +
	`invalid character|is invalid|number of items|required but|openapi3|strconv|doesn't match|pattern "|schema|interface \{|map\[|\w+\.go\b|parsing |%!`)

// TestRefusalsHideTheLibraries: wrong types and broken bodies are described in the words of
// the API.
func TestRefusalsHideTheLibraries(t *testing.T) {
	t.Parallel()
	b := setup(&servicedouble.Service{})
	for call, want := range map[string]string{
		"GET /api/v1/files?limit=abc":      "limit: use a whole number",
		"GET /api/v1/files?limit=1.5":      "limit: use a whole number",
		"GET /api/v1/files?from=yesterday": "from: use a time such as 2026-03-01T12:00:00Z",
		"GET /api/v1/audit-log?from=x":     "from: use a time such as 2026-03-01T12:00:00Z",
		"GET /api/v1/files?foo=1":          `unknown query parameter "foo"; known: cursor, `,
		"GET /api/v1/files/zzz":            "file_uuid: use a complete uuid",
		"GET /api/v1/audits/zzz":           "audit_uuid: use a complete uuid",
		"GET /api/v1/server-scans/x":       "id: use a whole number",
		"POST /api/v1/tokens {":            "the body is not valid JSON",
		`POST /api/v1/tokens []`:           "body: use an object",
		`POST /api/v1/tokens {"name":"x","role":"viewer","expires_in_days":5.5}`:               "expires_in_days: use a whole number",
		`POST /api/v1/tokens {"name":"x","role":"viewer","expires_in_days":5.0}`:               "expires_in_days: use a whole number without a fraction",
		`POST /api/v1/tokens {"role":"viewer"}`:                                                "name: is missing",
		"POST /api/v1/tokens ":                                                                 "the body is missing",
		`PATCH /api/v1/servers/acme {"min_size":1e15}`:                                         "min_size: use 1099511627776 or less",
		`PATCH /api/v1/servers/acme {"host":"a b"}`:                                            "host: use a DNS name or an IP address",
		`PATCH /api/v1/servers/acme {"include":["a\n"]}`:                                       "include.0: use a text without tabs",
		"GET /api/v1/files?status=foo":                                                         "status: use one of discovered, ready",
		`POST /api/v1/tokens {"name":7,"role":null}`:                                           "name: use a text",
		`POST /api/v1/files:retry {"filter":{"file_uuids":"x"},"reason":"x","dry_run":"true"}`: "dry_run: use true or false",
		`POST /api/v1/files:retry {"filter":{"from":"x"},"reason":"x"}`:                        "filter.from: use a time such as",
		`POST /api/v1/files:retry {"filter":{"from":"2026-02-30T00:00:00Z"},"reason":"x"}`:     "a time that does not exist",
		"GET /api/v1/files?from=2026-02-30T00:00:00Z":                                          "from: use a time such as 2026-03-01T12:00:00Z",
		`POST /api/v1/tokens {"name":"x","role":"viewer","expires_in_days":null}`:              "expires_in_days: must not be null",
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		answer := b.call(method, path, body).Body.String()
		require.Contains(t, strings.ReplaceAll(answer, `\"`, `"`), want, call)
		require.Empty(t, libraryWords.FindString(answer), "%s: %s", call, answer)
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
