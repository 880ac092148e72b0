package api

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryRequestIsBounded: each text, list and number of a request has a bound in
// openapi.yaml, and requests are validated against it. New routes are covered.
func TestEveryRequestIsBounded(t *testing.T) {
	t.Parallel()
	for _, op := range operationsOf(loadSpecification(t)) {
		for _, parameter := range op.parameters {
			requireBounded(t, op.OperationID+" parameter "+parameter.Name, parameter.Schema, 0)
		}
		if op.RequestBody == nil {
			continue
		}
		for mediaType, content := range op.RequestBody.Value.Content {
			assert.Equal(t, "application/json", mediaType, op.OperationID)
			requireBounded(t, op.OperationID+" body", content.Schema, 0)
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
	bounded := []string{"getOverview", "getReadiness", "listServers", "listTokens", "listFailures", "getStatistics"}
	for _, op := range operationsOf(loadSpecification(t)) {
		answer := op.Responses.Value("200")
		if op.method != http.MethodGet || answer == nil || answer.Value.Content.Get("application/json") == nil || slices.Contains(bounded, op.OperationID) {
			continue
		}
		schema := answer.Value.Content.Get("application/json").Schema.Value
		for field, property := range schema.Properties {
			if !property.Value.Type.Is("array") || len(schema.Properties) > 4 {
				continue // a single entry
			}
			parameters := map[string]*openapi3.Parameter{}
			for _, parameter := range op.parameters {
				parameters[parameter.Name] = parameter
			}
			if assert.Contains(t, parameters, "limit", "%s returns all %s", op.OperationID, field) {
				assert.NotNil(t, parameters["limit"].Schema.Value.Max, op.OperationID)
				assert.Contains(t, parameters, "cursor", op.OperationID)
			}
		}
	}
}
