package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"stevedore/api/openapi"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
	// started reports whether the request started something in Temporal.
	started bool
}

// maxProblem bounds the size of a problem, so that none repeats a large request.
const maxProblem = 128 << 10

// broken lists the rules of openapi.yaml that an answer violates.
func (op *operation) broken(doc *openapi3.T, a answer) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if a.started && slices.Contains([]int{400, 401, 403, 405, 413, 415, 422}, a.status) {
		fault("refused, and started something")
	}
	if a.status >= 400 && len(a.body) > maxProblem {
		fault("a problem of %d bytes", len(a.body))
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" {
		fault("browsers may guess the content type")
	}
	response := op.Responses.Status(a.status)
	if response == nil && a.status >= 300 {
		response = op.Responses.Default()
	}
	if response == nil {
		fault("the status %d is not declared", a.status)
		return faults
	}
	for name := range response.Value.Headers {
		if a.header.Get(name) == "" {
			fault("the header %s is declared and missing", name)
		}
	}
	if !utf8.Valid(a.body) || bytes.ContainsFunc(a.body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
		fault("the body holds control characters or is not UTF-8")
	}
	if len(response.Value.Content) == 0 {
		if len(a.body) > 0 {
			fault("a body where none is declared")
		}
		return faults
	}
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	declared := response.Value.Content.Get(mediaType)
	if err != nil || declared == nil {
		fault("the content type %q is not declared", a.header.Get("Content-Type"))
		return faults
	}
	switch {
	case strings.HasSuffix(mediaType, "json"):
		faults = append(faults, jsonFaults(declared.Schema.Value, a.body)...)
	case mediaType == "text/event-stream":
		faults = append(faults, streamFaults(doc, a.body)...)
	}
	if a.status >= 400 {
		faults = append(faults, problemFaults(a)...)
	}
	return faults
}

func jsonFaults(schema *openapi3.Schema, body []byte) []string {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{"the body is not JSON: " + err.Error()}
	}
	if bytes.Contains(body, []byte("<script")) {
		return []string{"the body would be a script where it is taken for a page"}
	}
	if err := schema.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
		return []string{"the body does not fit its schema: " + firstLine(err.Error())}
	}
	return drift("", schema, value)
}

// drift lists fields that are not in the specification and texts that violate
// their format: validation against the schema finds neither.
func drift(at string, schema *openapi3.Schema, value any) (faults []string) {
	schema = flat(schema)
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			property := schema.Properties[name]
			switch {
			case property != nil:
				faults = append(faults, drift(at+"."+name, property.Value, inner)...)
			case schema.AdditionalProperties.Schema == nil && (schema.AdditionalProperties.Has == nil || !*schema.AdditionalProperties.Has):
				faults = append(faults, "not in the specification: "+at+"."+name)
			}
		}
	case []any:
		for i, inner := range value {
			faults = append(faults, drift(at+"."+strconv.Itoa(i), schema.Items.Value, inner)...)
		}
	case string:
		_, wrongTime := time.Parse(time.RFC3339Nano, value)
		if schema.Format == "date-time" && (wrongTime != nil || !strings.HasSuffix(value, "Z")) ||
			schema.Format == "uuid" && uuid.Validate(value) != nil {
			faults = append(faults, fmt.Sprintf("%s: %q is no %s", at, value, schema.Format))
		}
	}
	return faults
}

// streamFaults checks the complete events of an interrupted stream.
func streamFaults(doc *openapi3.T, body []byte) (faults []string) {
	events := strings.Split(string(body), "\n\n")
	for _, event := range events[:len(events)-1] {
		for line := range strings.SplitSeq(event, "\n") {
			name, text, _ := strings.Cut(line, ": ")
			switch {
			case name == "data":
				faults = append(faults, jsonFaults(doc.Components.Schemas["Change"].Value, []byte(text))...)
			case !slices.Contains([]string{"id", "event", "retry", ""}, name):
				faults = append(faults, fmt.Sprintf("odd line %q", line))
			}
		}
	}
	return faults
}

// codes are the codes of problem.go by status: programs compare them.
var codes = map[int][]string{
	400: {openapi.CodeInvalid}, 401: {openapi.CodeUnauthorized}, 403: {openapi.CodeForbidden}, 404: {openapi.CodeNotFound}, 405: {openapi.CodeMethod}, 409: {openapi.CodeConflict},
	412: {openapi.CodePrecondition}, 413: {openapi.CodeTooLarge}, 415: {openapi.CodeMediaType}, 422: {openapi.CodeKeyReused}, 428: {openapi.CodeNoIfMatch}, 429: {openapi.CodeRateLimited},
	503: {openapi.CodeUnavailable, openapi.CodeNotReady},
}

// hidden are characters that change the display of the text around them.
var hidden = regexp.MustCompile(`[\x{202a}-\x{202e}\x{2066}-\x{2069}\x{200e}\x{200f}\x{1b}]`)

func problemFaults(a answer) (faults []string) {
	problem, err := readProblem(a)
	switch {
	case err != nil:
		return []string{err.Error()}
	case problem.Status != a.status:
		faults = append(faults, fmt.Sprintf("status %d in the body of a %d", problem.Status, a.status))
	case !slices.Contains(codes[a.status], problem.Code):
		faults = append(faults, fmt.Sprintf("the code %q with %d", problem.Code, a.status))
	case problem.Detail == "" || strings.Contains(problem.Detail, "\n"):
		faults = append(faults, fmt.Sprintf("the detail %q is not one line", problem.Detail))
	}
	if hidden.MatchString(problem.text()) {
		faults = append(faults, "the problem repeats characters that change how it is read")
	}
	return faults
}

type problemBody struct {
	Status int
	Code   string
	Detail string
	Errors []struct{ Field, Message string }
}

func readProblem(a answer) (p problemBody, err error) {
	err = json.Unmarshal(a.body, &p)
	return p, err
}

func (p problemBody) text() string {
	text := p.Detail
	for _, field := range p.Errors {
		text += "\n" + field.Field + "\n" + field.Message
	}
	return text
}
