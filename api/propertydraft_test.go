package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// operation is one operation of openapi.yaml with the results of its requests.
type operation struct {
	*openapi3.Operation

	method, path string
	// parameters are those of the path and of the operation.
	parameters []*openapi3.Parameter
	// body is nil for an operation without a body.
	body         *openapi3.Schema
	bodyRequired bool
	role         string

	succeeded, refused int
}

func operationsOf(doc *openapi3.T) (operations []*operation) {
	for path, item := range doc.Paths.Map() {
		for method, specified := range item.Operations() {
			op := &operation{Operation: specified, method: method, path: path, role: "viewer"}
			if role, said := specified.Extensions["x-role"].(string); said {
				op.role = role
			}
			if specified.Security != nil && len(*specified.Security) == 0 {
				op.role = ""
			}
			for _, list := range []openapi3.Parameters{item.Parameters, specified.Parameters} {
				for _, ref := range list {
					op.parameters = append(op.parameters, ref.Value)
				}
			}
			if specified.RequestBody != nil {
				op.body = specified.RequestBody.Value.Content.Get("application/json").Schema.Value
				op.bodyRequired = specified.RequestBody.Value.Required
			}
			operations = append(operations, op)
		}
	}
	slices.SortFunc(operations, func(x, y *operation) int { return strings.Compare(x.path+x.method, y.path+y.method) })
	return operations
}

// draft is a request before it is sent.
type draft struct {
	op     *operation
	path   map[string]string
	query  url.Values
	header http.Header
	// body is sent as JSON unless raw is set.
	body  any
	raw   []byte
	token string
}

// clone copies the parts that mutations change. Values of the body are replaced,
// never modified, see put.
func (d draft) clone() draft {
	d.path, d.header, d.query = maps.Clone(d.path), d.header.Clone(), url.Values(http.Header(d.query).Clone())
	return d
}

func (d draft) request(base string) (*http.Request, error) {
	path := d.op.path
	for name, value := range d.path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if len(d.query) > 0 {
		path += "?" + d.query.Encode()
	}
	body := d.raw
	if body == nil && d.body != nil {
		var encoded bytes.Buffer
		encoder := json.NewEncoder(&encoded)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(d.body); err != nil {
			return nil, err
		}
		body = encoded.Bytes()
	}
	request, err := http.NewRequest(d.op.method, base+path, bytes.NewReader(body)) //nolint:noctx // the driver adds a context
	if err != nil {
		return nil, err
	}
	request.Header = d.header.Clone()
	if body != nil && request.Header["Content-Type"] == nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if d.token != "" {
		request.Header.Set("Authorization", "Bearer "+d.token)
	}
	return request, nil
}

// maker makes values that match a schema.
type maker struct {
	random *rand.Rand
	// known has values that exist in the service, by field name, or by operation
	// and field ("skipFiles.from"). A nil value omits the field.
	known map[string]func() any
}

// good returns a request that should succeed.
func (m maker) good(op *operation) draft { return m.draft(op, true) }

// draft returns a request that matches the specification; with meaning, it uses
// the known values.
func (m maker) draft(op *operation, meaning bool) draft {
	d := draft{op: op, path: map[string]string{}, query: url.Values{}, header: http.Header{}, token: testToken}
	for _, parameter := range op.parameters {
		value, use := m.field(op, parameter.Name, parameter.Schema.Value, meaning || parameter.In == "path")
		if !use || !parameter.Required && m.known[parameter.Name] == nil && m.random.IntN(3) == 0 {
			continue
		}
		d.set(parameter, value)
	}
	if op.body != nil {
		d.body = m.value(op, op.body, meaning)
	}
	return d
}

func (d draft) set(parameter *openapi3.Parameter, value any) {
	var texts []string
	if list, is := value.([]any); is {
		for _, one := range list {
			texts = append(texts, fmt.Sprint(one))
		}
	} else {
		texts = []string{fmt.Sprint(value)}
	}
	switch parameter.In {
	case "path":
		d.path[parameter.Name] = texts[0]
	case "query":
		d.query[parameter.Name] = texts
	default:
		d.header[http.CanonicalHeaderKey(parameter.Name)] = texts
	}
}

// field returns a value for a named field and whether to use the field at all.
func (m maker) field(op *operation, name string, schema *openapi3.Schema, meaning bool) (value any, use bool) {
	if meaning {
		for _, key := range []string{op.OperationID + "." + name, name} {
			if known := m.known[key]; known != nil {
				value = known()
				return value, value != nil
			}
		}
	}
	return m.value(op, schema, meaning), true
}

func (m maker) value(op *operation, schema *openapi3.Schema, meaning bool) any {
	schema = flat(schema)
	switch {
	case len(schema.Enum) > 0:
		return schema.Enum[m.random.IntN(len(schema.Enum))]
	case schema.Type.Is("boolean"):
		return m.random.IntN(2) == 0
	case schema.Type.Is("integer"):
		return m.integer(schema)
	case schema.Type.Is("array"):
		list := make([]any, int(schema.MinItems)+m.random.IntN(3))
		for i := range list {
			list[i] = m.value(op, schema.Items.Value, meaning)
		}
		return list
	case schema.Type.Is("object"):
		return m.object(op, schema, meaning)
	default:
		return m.text(schema)
	}
}

func (m maker) integer(schema *openapi3.Schema) int64 {
	low, high := int64(0), int64(1000)
	if schema.Min != nil {
		low = int64(*schema.Min)
	}
	if schema.Max != nil {
		high = int64(*schema.Max)
	}
	return low + m.random.Int64N(high-low+1)
}

func (m maker) object(op *operation, schema *openapi3.Schema, meaning bool) map[string]any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		value, use := m.field(op, name, schema.Properties[name].Value, meaning)
		required := slices.Contains(schema.Required, name) || slices.Contains(neededFields[op.OperationID], name)
		if use && (required || m.random.IntN(2) == 0) {
			object[name] = value
		}
	}
	return object
}

// neededFields are required by an operation although its schema, shared with
// another operation, does not require them.
var neededFields = map[string][]string{"testServerSettings": {"host", "username", "password"}, "createServer": {"name", "host", "username", "password"},
	"editServer": {"password"}, "testServerEdit": {"password"}, // a stored password is not sent to another host
}

func (m maker) text(schema *openapi3.Schema) string {
	switch schema.Format {
	case "uuid":
		return uuid.NewString()
	case "date-time":
		return time.Unix(m.random.Int64N(4e9), 0).UTC().Format(time.RFC3339)
	}
	most := 40
	if schema.MaxLength != nil {
		most = min(most, int(*schema.MaxLength))
	}
	pattern := schema.Pattern
	if pattern == "" {
		pattern = fmt.Sprintf(`^[ -~а-я\t]{%d,%d}$`, min(int(schema.MinLength), most), most)
	}
	for range 50 {
		text := rapid.StringMatching(pattern).Example(int(m.random.Int32()))
		if holdable(text) && (schema.MaxLength == nil || len([]rune(text)) <= int(*schema.MaxLength)) {
			return text
		}
	}
	panic("no text fits the pattern " + pattern + " and its length")
}

// flat merges the allOf schemas of a schema.
func flat(schema *openapi3.Schema) *openapi3.Schema {
	if len(schema.AllOf) == 0 {
		return schema
	}
	merged := *schema
	merged.AllOf = nil
	merged.Properties = maps.Clone(merged.Properties)
	if merged.Properties == nil {
		merged.Properties = openapi3.Schemas{}
	}
	for _, ref := range schema.AllOf {
		part := flat(ref.Value)
		maps.Copy(merged.Properties, part.Properties)
		merged.Required = append(slices.Clone(merged.Required), part.Required...)
		if merged.Type == nil {
			merged.Type, merged.Enum, merged.Format = part.Type, part.Enum, part.Format
		}
	}
	return &merged
}
