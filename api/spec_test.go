package api

import (
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

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
	programs, _, _ := newPrograms(Deps{Operations: &servicedouble.Service{}, Access: &servicedouble.Service{}, Token: "x", Log: slog.New(slog.DiscardHandler), Now: time.Now})
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

// TestRolesAreStated: each operation that changes something states its role, and only the
// probes need no token.
func TestRolesAreStated(t *testing.T) {
	t.Parallel()
	spec := readSpecification(nil)
	for path, item := range spec.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			role, stated := operation.Extensions["x-role"].(string)
			switch required := spec.role(method, path); {
			case path == "/livez", path == "/readyz":
				require.Empty(t, required, path)
			case stated:
				require.Equal(t, ingest.Role(role), required, "%s %s", method, path)
				_, err := ingest.ParseRole(role)
				require.NoError(t, err, "%s %s", method, path)
			default:
				require.Equal(t, http.MethodGet, method, "%s %s changes something: state its x-role", method, path)
				require.Equal(t, ingest.RoleViewer, required, path)
			}
		}
	}
	require.Equal(t, ingest.RoleAdmin, spec.role(http.MethodHead, "/api/v1/tokens"), "as GET")
	require.Equal(t, ingest.RoleAdmin, spec.role(http.MethodPut, "/api/v1/tokens"), "not specified")
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
	answer := setup(&servicedouble.Service{}).call(http.MethodGet, "/openapi.yaml", "")
	require.Equal(t, http.StatusOK, answer.Code)
	require.Equal(t, specification, answer.Body.Bytes())
}

func TestErrorKindsAreThoseOfTheDomain(t *testing.T) {
	t.Parallel()
	var specified []ingest.Kind
	for _, kind := range loadSpecification(t).Components.Schemas["ErrorKind"].Value.Enum {
		specified = append(specified, ingest.Kind(kind.(string)))
	}
	require.Equal(t, ingest.Kinds, specified)
}
