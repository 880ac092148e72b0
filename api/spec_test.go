package api

import (
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

func loadSpecification(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(specification)
	require.NoError(t, err)
	return doc
}

func TestSpecificationIsValid(t *testing.T) {
	t.Parallel()
	doc := loadSpecification(t)
	require.NoError(t, doc.Validate(t.Context()))
}

func TestServedRoutesAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	var specified []string
	braces := regexp.MustCompile(`\{(\w+)\}`)
	for path, item := range loadSpecification(t).Paths.Map() {
		for method := range item.Operations() {
			specified = append(specified, method+" "+braces.ReplaceAllString(path, ":$1"))
		}
	}
	handler := NewHandler(Deps{Operations: &fakeOperations{}, Token: "x", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	var served []string
	for _, route := range handler.(*echo.Echo).Routes() {
		served = append(served, route.Method+" "+route.Path)
	}
	slices.Sort(specified)
	slices.Sort(served)
	require.Equal(t, specified, served)
}

func TestKnownQueryParametersAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	specified := map[string][]string{}
	for _, item := range loadSpecification(t).Paths.Map() {
		for _, operation := range item.Operations() {
			for _, parameter := range operation.Parameters {
				if parameter.Value.In == openapi3.ParameterInQuery {
					// The generated code begins operation ids with a capital.
					id := string(operation.OperationID[0]-'a'+'A') + operation.OperationID[1:]
					specified[id] = append(specified[id], parameter.Value.Name)
				}
			}
		}
	}
	require.Equal(t, specified, queryParameters)
}

func TestOpenPathsAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	specified := map[string]bool{}
	for path, item := range loadSpecification(t).Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.Security != nil && len(*operation.Security) == 0 {
				specified[path] = true
			}
		}
	}
	require.Equal(t, specified, openPaths)
}

func TestSpecificationKnowsEveryStatusAndScanState(t *testing.T) {
	t.Parallel()
	for _, status := range ingest.Statuses {
		require.True(t, oas.FileStatus(status).Valid(), status)
	}
	for _, state := range []admin.ScanState{admin.ScanRunning, admin.ScanCompleted, admin.ScanFailed} {
		require.True(t, oas.ScanState(state).Valid(), state)
	}
	schema := loadSpecification(t).Components.Schemas["FileStatus"].Value
	require.Len(t, schema.Enum, len(ingest.Statuses))
}

func TestSpecificationIsServed(t *testing.T) {
	t.Parallel()
	answer := setup(&fakeOperations{}).call(http.MethodGet, "/openapi.yaml", "")
	require.Equal(t, http.StatusOK, answer.Code)
	require.Equal(t, specification, answer.Body.Bytes())
}
