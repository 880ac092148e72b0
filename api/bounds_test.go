package api

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// specified returns all operations of openapi.yaml, by "METHOD path".
func specified(t *testing.T) map[string]*openapi3.Operation {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(specification)
	require.NoError(t, err)
	all := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			operation.Parameters = append(slices.Clone(operation.Parameters), item.Parameters...)
			all[method+" "+path] = operation
		}
	}
	require.Greater(t, len(all), 30)
	return all
}

// TestEveryRequestIsBounded: each text, list and number of a request has a bound in
// openapi.yaml, and requests are validated against it. New routes are covered.
func TestEveryRequestIsBounded(t *testing.T) {
	t.Parallel()
	for name, operation := range specified(t) {
		for _, parameter := range operation.Parameters {
			requireBounded(t, name+" parameter "+parameter.Value.Name, parameter.Value.Schema, 0)
		}
		if operation.RequestBody == nil {
			continue
		}
		for mediaType, content := range operation.RequestBody.Value.Content {
			assert.Equal(t, "application/json", mediaType, name)
			requireBounded(t, name+" body", content.Schema, 0)
		}
	}
}

func requireBounded(t *testing.T, where string, ref *openapi3.SchemaRef, depth int) {
	t.Helper()
	require.Less(t, depth, 20, "%s has no end", where)
	s := ref.Value
	for _, part := range slices.Concat(s.AllOf, s.OneOf, s.AnyOf) {
		requireBounded(t, where, part, depth+1)
	}
	for name, property := range s.Properties {
		requireBounded(t, where+"."+name, property, depth+1)
	}
	switch {
	case s.Type.Is("string"):
		fixed := len(s.Enum) > 0 || slices.Contains([]string{"uuid", "date-time", "date"}, s.Format) || fixedLength(s.Pattern)
		assert.True(t, fixed || s.MaxLength != nil, "%s: a text without maxLength", where)
	case s.Type.Is("array"):
		assert.NotNil(t, s.MaxItems, "%s: a list without maxItems", where)
		requireBounded(t, where+"[]", s.Items, depth+1)
	case s.Type.Is("object"):
		if len(s.AllOf) == 0 {
			require.NotNil(t, s.AdditionalProperties.Has, "%s: an object that takes any field", where)
			assert.False(t, *s.AdditionalProperties.Has, "%s: an object that takes any field", where)
		}
	}
}

// fixedLength reports whether a pattern bounds the length of matching texts.
func fixedLength(pattern string) bool {
	counted := regexp.MustCompile(`\[[^]]*\]`).ReplaceAllString(pattern, "c")
	return strings.HasPrefix(counted, "^") && strings.HasSuffix(counted, "$") && !strings.ContainsAny(counted, "*+") && !strings.Contains(counted, ",}")
}

// TestEveryPageIsBounded: lists that grow with the number of files, scans or users have
// pages with a cursor and a limit.
func TestEveryPageIsBounded(t *testing.T) {
	t.Parallel()
	// Admins add servers and tokens manually, so these lists stay short; at most 1,000 tokens
	// are listed. Failures have at most 100 groups, statistics at most 30 buckets.
	bounded := []string{"GET /api/v1/overview", "GET /readyz", "GET /api/v1/servers", "GET /api/v1/tokens", "GET /api/v1/failures", "GET /api/v1/statistics"}
	for _, name := range slices.Sorted(maps.Keys(specified(t))) {
		operation := specified(t)[name]
		answer := operation.Responses.Value("200")
		if answer == nil || answer.Value.Content.Get("application/json") == nil || slices.Contains(bounded, name) {
			continue
		}
		schema := answer.Value.Content.Get("application/json").Schema.Value
		for field, property := range schema.Properties {
			if !property.Value.Type.Is("array") || !strings.HasPrefix(name, "GET ") || len(schema.Properties) > 4 {
				continue // a single entry
			}
			parameters := map[string]*openapi3.Parameter{}
			for _, parameter := range operation.Parameters {
				parameters[parameter.Value.Name] = parameter.Value
			}
			if assert.Contains(t, parameters, "limit", "%s returns all %s", name, field) {
				assert.NotNil(t, parameters["limit"].Schema.Value.Max, name)
				assert.Contains(t, parameters, "cursor", name)
			}
		}
	}
}

// TestLargeRequestsAreRefused sends every operation a body, a header and a query that are
// too large, and expects a problem each time.
func TestLargeRequestsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(&fakeOperations{})
	b.handler = NewHandler(Deps{Operations: b.ops, Access: b.ops, Token: testToken, Log: b.logger(), RequestsPerSecond: 1e6})
	for name, operation := range specified(t) {
		method, path, _ := strings.Cut(name, " ")
		for _, parameter := range []string{"{server}", "{name}"} {
			path = strings.ReplaceAll(path, parameter, "acme")
		}
		for _, parameter := range []string{"{file_uuid}", "{audit_uuid}", "{scan_uuid}", "{scan_id}"} {
			path = strings.ReplaceAll(path, parameter, "00000000-0000-0000-0000-000000000000")
		}
		send := func(what, target, body string, headers map[string]string) {
			request := httptest.NewRequest(method, target, strings.NewReader(body))
			request.Header.Set("Authorization", "Bearer "+testToken)
			if body != "" {
				request.Header.Set("Content-Type", "application/json")
			}
			for key, value := range headers {
				request.Header.Set(key, value)
			}
			answer := httptest.NewRecorder()
			b.handler.ServeHTTP(answer, request)
			assert.Contains(t, []int{400, 405, 413, 414, 415, 422, 428, 431}, answer.Code, "%s with %s: %.200s", name, what, answer.Body.String())
			assert.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"), "%s with %s", name, what)
			assert.Less(t, answer.Body.Len(), 64<<10, "%s with %s: it is repeated in the answer", name, what)
		}
		if method != http.MethodGet {
			send("a large body", path, `{"reason":"`+strings.Repeat("x", 300<<10)+`"}`, nil)
		}
		if operation.RequestBody != nil {
			send("a deep body", path, strings.Repeat(`{"filter":`, 20_000)+"1"+strings.Repeat("}", 20_000), nil)
		}
		send("a large query", path+"?q="+strings.Repeat("x", 100<<10), "", nil)
		send("many parameters", path+"?"+strings.Repeat("a=1&", 10_000), "", nil)
		send("a large cursor", path+"?cursor="+strings.Repeat("x", 50_000), "", nil)
	}
}
