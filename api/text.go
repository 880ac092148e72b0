package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"

	"stevedore/api/web"
	"stevedore/internal/ingest"
)

const unreadable = "use UTF-8 without NUL"

// holdable reports whether JSON and PostgreSQL can represent the text. Other text would be
// changed in transit and select something else.
func holdable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// unholdable returns an error for each parameter and field whose text is not holdable.
func unholdable(c echo.Context, route *routers.Route) (fields ingest.FieldErrors, err error) {
	require := func(name string, values ...string) {
		if !holdable(name) || !holdable(strings.Join(values, "")) {
			fields = append(fields, fieldError(name, unreadable))
		}
	}
	for i, value := range c.ParamValues() {
		require(c.ParamNames()[i], value)
	}
	query := c.QueryParams()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		require(name, query[name]...)
	}
	for _, parameter := range route.Operation.Parameters {
		if parameter.Value.In == openapi3.ParameterInHeader {
			require(parameter.Value.Name, c.Request().Header.Values(parameter.Value.Name)...)
		}
	}
	if route.Operation.RequestBody == nil {
		return fields, nil
	}
	body, err := readBody(c)
	return append(fields, unholdableBody(body)...), err
}

// readBody returns the body and leaves it readable for others.
func readBody(c echo.Context) ([]byte, error) {
	body, err := io.ReadAll(c.Request().Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, large
	}
	if err != nil {
		return nil, web.Refuse(http.StatusBadRequest, "the body could not be read")
	}
	c.Request().Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

func unholdableBody(body []byte) []ingest.FieldError {
	switch {
	case !utf8.Valid(body):
		return []ingest.FieldError{fieldError("", unreadable)}
	case bytes.Equal(bytes.TrimSpace(body), []byte("null")):
		// Where a body is optional, the validator accepts null as none.
		return []ingest.FieldError{fieldError("", "use an object, or send no body")}
	}
	var value any
	if !bytes.Contains(body, []byte(`\u0000`)) || json.Unmarshal(body, &value) != nil {
		return nil // the validator reports invalid JSON
	}
	return unholdableValue(nil, value)
}

func unholdableValue(at []string, value any) (fields []ingest.FieldError) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			inner := append(slices.Clone(at), name)
			if !holdable(name) {
				fields = append(fields, fieldError(join("", inner), unreadable))
			}
			fields = append(fields, unholdableValue(inner, value[name])...)
		}
	case []any:
		for i, one := range value {
			fields = append(fields, unholdableValue(append(slices.Clone(at), fmt.Sprint(i)), one)...)
		}
	case string:
		if !holdable(value) {
			fields = append(fields, fieldError(join("", at), unreadable))
		}
	}
	return fields
}
