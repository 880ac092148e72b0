package api

import (
	"strings"
	"testing"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/assert"
)

// TestAttacksAreRefused sends attacks that TestEveryOperationIsAsSpecified does not. None
// reaches an operation.
func TestAttacksAreRefused(t *testing.T) {
	t.Parallel()
	const retry = "/api/v1/files/" + fileUUID + ":retry"
	const reason = `{"reason":"x"}`
	for name, attack := range map[string]struct {
		method, target, body string
		header, value        string
		want                 int
	}{
		"null origin":             {"POST", retry, reason, "Origin", "null", 403},
		"other origin":            {"POST", retry, reason, "Origin", "https://evil.example", 403},
		"origin like the host":    {"POST", retry, reason, "Origin", "http://example.com.evil.example", 403},
		"fetched cross-site":      {"POST", retry, reason, "Sec-Fetch-Site", "cross-site", 403},
		"fetched same-site":       {"POST", retry, reason, "Sec-Fetch-Site", "same-site", 403},
		"override by a header":    {"GET", retry, "", "X-Http-Method-Override", "POST", 405},
		"override by old header":  {"GET", retry, "", "X-Method-Override", "POST", 405},
		"override by query":       {"GET", retry + "?_method=POST", "", "", "", 405},
		"trace":                   {"TRACE", "/api/v1/files", "", "", "", 405},
		"compressed":              {"POST", retry, "\x1f\x8b\x08", "Content-Encoding", "gzip", 400},
		"semicolons":              {"GET", "/api/v1/files?limit=1;status=error", "", "", "", 400},
		"broken escape":           {"GET", "/api/v1/files?status=%zz", "", "", "", 400},
		"too many parameters":     {"GET", "/api/v1/files?status=error" + strings.Repeat("&a", 5001), "", "", "", 400},
		"action of another thing": {"POST", "/api/v1/files/" + fileUUID + ":delete", reason, "", "", 404},
		"unknown path":            {"GET", "/nothing", "", "", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(&servicedouble.Service{})
			answer := b.call(attack.method, attack.target, attack.body, attack.header, attack.value)
			assert.Equal(t, attack.want, answer.Code, answer.Body)
			assert.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
			assert.Empty(t, b.ops.Calls)
		})
	}
}
