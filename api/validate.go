package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// specificationOf finds the operation of openapi.yaml for a request.
type specificationOf struct {
	doc *openapi3.T
	// specified maps echo's patterns to openapi.yaml's paths. Patterns are compared, not
	// request paths, so that no spelling of a path bypasses a check.
	specified map[string]string
	roles     openapi.Roles
}

func readSpecification(specified map[string]string) specificationOf {
	doc, err := openapi3.NewLoader().LoadFromData(specification)
	if err != nil {
		panic(err) // the specification is embedded, and tests load it
	}
	return specificationOf{doc, specified, openapi.RolesOf(doc)}
}

// path returns openapi.yaml's path for the request; "" for a path that it lacks.
func (s specificationOf) path(c echo.Context) string { return s.specified[c.Path()] }

// operation returns the path and its operation; nil when openapi.yaml has none.
func (s specificationOf) operation(method, path string) (*openapi3.PathItem, *openapi3.Operation) {
	item := s.doc.Paths.Value(path)
	if item == nil {
		return nil, nil
	}
	return item, item.GetOperation(method)
}

// role returns the role that a request requires, "" for an operation without security. A
// path that openapi.yaml lacks can be read by a viewer.
func (s specificationOf) role(method, path string) ingest.Role {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if _, operation := s.operation(method, path); operation != nil {
		return s.roles.Of(operation.OperationID)
	}
	if method == http.MethodGet {
		return ingest.RoleViewer
	}
	return ingest.RoleAdmin
}

// checker validates requests against openapi.yaml before handlers run, and reports all
// problems together. It also refuses unknown and repeated query parameters: an ignored
// filter would select more than was requested.
type checker struct{ specificationOf }

func (k checker) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := k.path(c)
		item, operation := k.operation(c.Request().Method, path)
		if operation == nil {
			return next(c) // echo returns the error
		}
		fields, err := k.problems(c, &routers.Route{
			Spec: k.doc, Path: path, PathItem: item, Method: c.Request().Method, Operation: operation,
		})
		if err == nil {
			err = fields.Err("the request does not match openapi.yaml")
		}
		if err != nil {
			return err
		}
		return next(c)
	}
}

func (k checker) problems(c echo.Context, route *routers.Route) (ingest.FieldErrors, error) {
	fields, err := unholdable(c, route)
	if len(fields) > 0 || err != nil {
		return fields, err
	}
	fields = unknownParameters(c, route)
	params := map[string]string{}
	for i, name := range c.ParamNames() {
		params[name] = c.ParamValues()[i]
	}
	err = openapi3filter.ValidateRequest(c.Request().Context(), &openapi3filter.RequestValidationInput{
		Request: c.Request(), PathParams: params, QueryParams: c.QueryParams(), Route: route,
		Options: &openapi3filter.Options{
			MultiError: true,
			// Handlers apply the defaults; setting them here would accept null.
			SkipSettingDefaults: true,
			AuthenticationFunc:  func(context.Context, *openapi3filter.AuthenticationInput) error { return nil },
		},
	})
	return append(fields, fieldsOf(err, "")...), nil
}

func unknownParameters(c echo.Context, route *routers.Route) (fields ingest.FieldErrors) {
	var known []string
	for _, list := range []openapi3.Parameters{route.PathItem.Parameters, route.Operation.Parameters} {
		for _, parameter := range list {
			if parameter.Value.In != openapi3.ParameterInQuery {
				continue
			}
			name := parameter.Value.Name
			known = append(known, name)
			if len(c.QueryParams()[name]) > 1 && !parameter.Value.Schema.Value.Type.Is(openapi3.TypeArray) {
				fields = append(fields, fieldError(name, "send it only once"))
			}
		}
	}
	for name := range c.QueryParams() {
		if !slices.Contains(known, name) {
			fields = append(fields, ingest.FieldError{Field: ingest.Summary(name), Message: fmt.Sprintf(
				"unknown query parameter %q; known: %s", ingest.Summary(name), strings.Join(slices.Sorted(slices.Values(known)), ", "))})
		}
	}
	slices.SortFunc(fields, func(x, y ingest.FieldError) int { return strings.Compare(x.Field, y.Field) })
	return fields
}

// unsupportedProperty matches the validator's message about an unknown field.
var unsupportedProperty = regexp.MustCompile(`^property "(.*)" is unsupported$`)

// fieldsOf converts the validator's errors. name is the path of the enclosing field.
func fieldsOf(err error, name string) (fields []ingest.FieldError) {
	var (
		several openapi3.MultiError
		request *openapi3filter.RequestError
		schema  *openapi3.SchemaError
	)
	switch {
	case err == nil:
		return nil
	case asIs(err, &request):
		if request.Parameter != nil {
			name = request.Parameter.Name
		}
		var unreadable *openapi3filter.ParseError
		switch {
		case request.Err == nil:
			return []ingest.FieldError{fieldError(name, request.Reason)}
		case errors.Is(request.Err, openapi3filter.ErrInvalidRequired) && request.Parameter == nil:
			return []ingest.FieldError{{Field: "body", Message: "the body is missing: send it as JSON"}}
		case errors.As(request.Err, &unreadable) && request.Parameter != nil:
			return []ingest.FieldError{fieldError(name, typeOf(request.Parameter.Schema.Value))}
		case errors.As(request.Err, &unreadable):
			return []ingest.FieldError{{Field: "body", Message: errNotJSON}}
		}
		return fieldsOf(request.Err, name)
	case asIs(err, &several):
		for _, one := range several {
			fields = append(fields, fieldsOf(one, name)...)
		}
		return fields
	case errors.As(err, &schema):
		if unsupported := unsupportedProperty.FindStringSubmatch(schema.Reason); unsupported != nil {
			return []ingest.FieldError{fieldError(join(name, append(schema.JSONPointer(), unsupported[1])), "there is no such field")}
		}
		field := join(name, schema.JSONPointer())
		if name != "" {
			field = name // values of a parameter have no positions
		}
		return []ingest.FieldError{fieldError(field, reasonOf(field, schema))}
	default:
		return []ingest.FieldError{fieldError(name, err.Error())}
	}
}

// reasonOf states which values the field accepts.
func reasonOf(field string, err *openapi3.SchemaError) string {
	switch schema := err.Schema; err.SchemaField {
	case "pattern":
		return formatOf(field, schema)
	case "enum":
		var values []string
		for _, value := range schema.Enum {
			values = append(values, fmt.Sprint(value))
		}
		return "use one of " + strings.Join(values, ", ")
	case "type":
		return typeOf(schema)
	case "format":
		return formatOf(field, schema)
	case "nullable":
		return "must not be null"
	case "minLength":
		return "must not be empty"
	case "maxLength":
		return fmt.Sprintf("use at most %d characters", *schema.MaxLength)
	case "minItems":
		return "must not be empty"
	case "maxItems":
		return fmt.Sprintf("use at most %d entries", *schema.MaxItems)
	case "minimum":
		return fmt.Sprintf("use %.0f or more", *schema.Min)
	case "maximum":
		return fmt.Sprintf("use %.0f or less", *schema.Max)
	case "required":
		return "is missing"
	}
	return err.Reason
}

// errNotJSON is the message about a body that cannot be parsed.
const errNotJSON = "the body is not valid JSON"

// typeOf states the type of the values that the schema accepts.
func typeOf(schema *openapi3.Schema) string {
	switch {
	case schema.Type.Is(openapi3.TypeInteger):
		return "use a whole number without a fraction"
	case schema.Type.Is(openapi3.TypeNumber):
		return "use a number"
	case schema.Type.Is(openapi3.TypeBoolean):
		return "use true or false"
	case schema.Type.Is(openapi3.TypeArray):
		return "use a list"
	case schema.Type.Is(openapi3.TypeObject):
		return "use an object"
	}
	return "use a text"
}

const (
	useDuration = "use a duration such as 10s or 5m"
	useVisible  = "use a text without tabs, line ends and other control characters"
	useFileName = "use a file name, without '/' and control characters"
)

// formats describes the formats of fields. The validator's own message quotes the pattern.
var formats = map[string]string{
	"name": "use letters, digits, '-', '_' and '.'", "jump": "use the name of a server", "after_ingest": "use keep, delete or move:/dir",
	"root_path": "use an absolute folder, or ~/dir", "fingerprint": "use a fingerprint such as SHA256:n4bQ..., with 43 characters after the colon",
	"hash": "use a SHA-256 of 64 hex digits", "uuid": "use a uuid, or at least its first 4 hex digits", "reason": "use some visible text",
	"search": "use some visible text", "proxy": "use socks5://host:port or http://host:port",
	"host": "use a DNS name or an IP address, without spaces, '/' or '@'", "username": useVisible, "include": useVisible, "exclude": useVisible,
	"done_marker": useFileName, "in_progress_names": useFileName, "file_uuids": useUUID,
	"settle": useDuration, "scan_interval": useDuration, "min_age": useDuration, "sidecar_wait": useDuration,
	"connect_timeout": useDuration, "login_timeout": useDuration, "answer_timeout": useDuration,
}

// formatOf returns the format of the field, by its name or by the example of its schema.
func formatOf(field string, schema *openapi3.Schema) string {
	path := strings.Split(strings.TrimRight(field, ".0123456789"), ".") // without the position in a list
	if format := formats[path[len(path)-1]]; format != "" {
		return format
	}
	switch schema.Format {
	case "date-time":
		return useTime
	case "date":
		return "use a date such as 2026-03-01"
	case "uuid":
		return useUUID
	}
	if schema.Example != nil {
		return fmt.Sprintf("use a value such as %v", schema.Example)
	}
	return "the format is invalid"
}

const (
	useUUID = "use a complete uuid"
	useTime = "use a time such as 2026-03-01T12:00:00Z"
)

// asIs is errors.As for the outermost error alone: the validator's errors nest.
func asIs[T error](err error, target *T) bool {
	found, ok := err.(T) //nolint:errorlint // on purpose, see above
	if ok {
		*target = found
	}
	return ok
}

func join(name string, pointer []string) string {
	if name != "" {
		pointer = append([]string{name}, pointer...)
	}
	return strings.Join(pointer, ".")
}

func fieldError(name, reason string) ingest.FieldError {
	if name == "" {
		name = "body"
	}
	return ingest.FieldError{Field: ingest.Summary(name), Message: ingest.Summary(name + ": " + firstLine(reason))}
}
