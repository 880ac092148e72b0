package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestAttacksAreRefused sends common attacks on web services. None may reach an operation
// that changes data: the fake responds to those with 500.
func TestAttacksAreRefused(t *testing.T) {
	t.Parallel()
	const uuid = "00000000-0000-4000-8000-000000000000"
	retry := "/api/v1/files/" + uuid + ":retry"
	reason := `{"reason":"x"}`
	for name, a := range map[string]struct {
		method, target, body string
		headers              map[string]string
		want                 []int
	}{
		"null origin":           {"POST", retry, reason, map[string]string{"Origin": "null"}, []int{403}},
		"other origin":          {"POST", retry, reason, map[string]string{"Origin": "https://evil.example"}, []int{403}},
		"origin like the host":  {"POST", retry, reason, map[string]string{"Origin": "http://example.com.evil.example"}, []int{403}},
		"fetched cross-site":    {"POST", retry, reason, map[string]string{"Sec-Fetch-Site": "cross-site"}, []int{403}},
		"fetched same-site":     {"POST", retry, reason, map[string]string{"Sec-Fetch-Site": "same-site"}, []int{403}},
		"delete without rights": {"DELETE", "/api/v1/files/" + uuid, "", nil, []int{405}},
		"override by header":    {"GET", retry, "", map[string]string{"X-Http-Method-Override": "POST", "X-Method-Override": "POST"}, []int{405}},
		"override by query":     {"GET", retry + "?_method=POST", "", nil, []int{405}},
		"trace":                 {"TRACE", "/api/v1/files", "", nil, []int{404, 405}},
		"form":                  {"POST", retry, "reason=x", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []int{415}},
		"text":                  {"POST", retry, reason, map[string]string{"Content-Type": "text/plain"}, []int{415}},
		"compressed":            {"POST", retry, "\x1f\x8b\x08", map[string]string{"Content-Encoding": "gzip"}, []int{400, 415}},
		"two values":            {"POST", retry, reason + reason, nil, []int{400}},
		"deep lists":            {"POST", retry, strings.Repeat("[", 100_000), nil, []int{400}},
		"large number":          {"GET", "/api/v1/files?limit=1e400", "", nil, []int{400}},
		"negative limit":        {"GET", "/api/v1/files?limit=-1", "", nil, []int{400}},
		"cursor of another":     {"GET", "/api/v1/audit-log?cursor=ZmlsZXMuMS4x", "", nil, []int{400}},
		"cursor too far":        {"GET", "/api/v1/files?cursor=ZmlsZXMuMS45OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "", nil, []int{400}},
		"two limits":            {"GET", "/api/v1/files?limit=1&limit=1000", "", nil, []int{400}},
		"semicolons":            {"GET", "/api/v1/files?limit=1;status=error", "", nil, []int{400}},
		"broken escape":         {"GET", "/api/v1/files?status=%zz", "", nil, []int{400}},
		"too many parameters":   {"GET", "/api/v1/files?status=error" + strings.Repeat("&a", 10_001), "", nil, []int{400}},
		"NUL":                   {"GET", "/api/v1/servers/a%00b", "", nil, []int{400}},
		"traversal":             {"GET", "/api/v1/files/..%2f..%2fservers", "", nil, []int{400}},
		"traversal by dots":     {"GET", "/api/v1/files/../servers/../tokens/..", "", nil, []int{400, 404}},
		"not a uuid":            {"GET", "/api/v1/files/" + uuid + "'--", "", nil, []int{400}},
		"SQL in a name":         {"GET", "/api/v1/servers/a'%20OR%201=1--", "", nil, []int{400, 404}},
		"action of another":     {"POST", "/api/v1/files/" + uuid + ":delete", reason, nil, []int{404, 405}},
		"long key":              {"POST", retry, reason, map[string]string{"Idempotency-Key": strings.Repeat("k", 201)}, []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(&fakeOperations{})
			request := httptest.NewRequest(a.method, "http://example.com/", strings.NewReader(a.body))
			path, query, _ := strings.Cut(a.target, "?")
			request.URL.RawQuery = query
			request.URL.Opaque = ""
			if parsed, err := request.URL.Parse(path); err == nil && !strings.Contains(path, "..") {
				request.URL.Path, request.URL.RawPath = parsed.Path, parsed.RawPath
			} else {
				request.URL.Path = path
				if strings.Contains(path, "%2f") {
					request.URL.RawPath, request.URL.Path = path, strings.ReplaceAll(path, "%2f", "/")
				}
			}
			request.Header.Set("Authorization", "Bearer "+testToken)
			if a.body != "" {
				request.Header.Set("Content-Type", "application/json")
			}
			for key, value := range a.headers {
				request.Header.Set(key, value)
			}
			answer := httptest.NewRecorder()
			b.handler.ServeHTTP(answer, request)
			assert.Contains(t, a.want, answer.Code, answer.Body.String())
			if answer.Code != http.StatusMethodNotAllowed && answer.Code != http.StatusNotFound {
				assert.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
			}
			assert.NotContains(t, answer.Header().Get("Location"), "evil")
		})
	}
}
