package api

import (
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
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
	programs, _ := newPrograms(Deps{Operations: &fakeOperations{}, Access: &fakeOperations{}, Token: "x", Log: slog.New(slog.DiscardHandler), Now: time.Now})
	served := map[string]bool{}
	for _, route := range programs.Handler.(*echo.Echo).Routes() {
		served[route.Method+" "+route.Path] = true
	}
	delete(served, "GET "+docsAssets)
	braces := regexp.MustCompile(`\{(\w+)\}`)
	specified := map[string]bool{}
	for path, item := range loadSpecification(t).Paths.Map() {
		for method := range item.Operations() {
			registered, back := pattern(braces.ReplaceAllString(strings.ReplaceAll(path, ":", `\:`), ":$1"))
			require.Equal(t, path, back)
			specified[method+" "+registered] = true
		}
	}
	require.Equal(t, specified, served)
}

// TestRolesAreThoseOfTheSpecification: x-role is the role that an operation requires;
// without it, reading requires a viewer.
func TestRolesAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	for path, item := range loadSpecification(t).Paths.Map() {
		for method, operation := range item.Operations() {
			if openPaths[path] {
				continue
			}
			role, said := operation.Extensions["x-role"].(string)
			if !said {
				require.Equal(t, http.MethodGet, method, "%s %s changes something: say who may", method, path)
				role = string(ingest.RoleViewer)
			}
			require.Equal(t, ingest.Role(role), neededRole(method, path), "%s %s", method, path)
		}
	}
	for route := range operatorRoutes {
		method, path, _ := strings.Cut(route, " ")
		item := loadSpecification(t).Paths.Value(path)
		require.NotNil(t, item, route)
		require.NotNil(t, item.GetOperation(method), route)
	}
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

func TestSpecificationListsStatusesStatesAndSteps(t *testing.T) {
	t.Parallel()
	for _, status := range ingest.Statuses {
		require.True(t, openapi.FileStatus(status).Valid(), status)
	}
	for _, state := range []operations.ScanState{operations.ScanRunning, operations.ScanCompleted, operations.ScanFailed} {
		require.True(t, openapi.ScanState(state).Valid(), state)
	}
	schemas := loadSpecification(t).Components.Schemas
	require.Len(t, schemas["FileStatus"].Value.Enum, len(ingest.Statuses))
	var steps []any
	for _, step := range ingest.RetrySteps() {
		steps = append(steps, string(step))
	}
	require.ElementsMatch(t, steps, schemas["StepName"].Value.Enum)
}

// TestSpecificationDescribesEachSetting compares the schemas with the table of settings:
// names, choices and limits.
func TestSpecificationDescribesEachSetting(t *testing.T) {
	t.Parallel()
	schemas := loadSpecification(t).Components.Schemas
	for _, setting := range ingest.Settings {
		require.Contains(t, schemas["Server"].Value.Properties, setting.Field)
		require.Contains(t, schemas["ServerSettings"].Value.Properties, setting.Field)
		schema := schemas["ServerSettings"].Value.Properties[setting.Field].Value
		var choices []string
		for _, choice := range schema.Enum {
			choices = append(choices, choice.(string))
		}
		require.Equal(t, setting.Choices, choices, setting.Field)
		if setting.Number() {
			require.NotNil(t, schema.Min, setting.Field)
			require.NotNil(t, schema.Max, setting.Field)
			require.InDelta(t, setting.Min, *schema.Min, 0, setting.Field)
			require.InDelta(t, setting.Max, *schema.Max, 0, setting.Field)
		}
	}
	secrets := []string{"password", "private_key", "passphrase", "certificate"}
	for field := range schemas["ServerSettings"].Value.Properties {
		_, ok := ingest.SettingOf(field)
		require.True(t, ok || slices.Contains(secrets, field), "%s is no setting", field)
	}
}

func TestSpecificationIsServed(t *testing.T) {
	t.Parallel()
	answer := setup(&fakeOperations{}).call(http.MethodGet, "/openapi.yaml", "")
	require.Equal(t, http.StatusOK, answer.Code)
	require.Equal(t, specification, answer.Body.Bytes())
}
