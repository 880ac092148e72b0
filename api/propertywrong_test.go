package api

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// wrong is one way to make a request invalid.
type wrong struct {
	what string
	// field is the field that the response must name; may be empty.
	field string
	// status is the expected status; 0 accepts any in the specification except 5xx.
	status int
	spoil  func(d *draft)
}

// notUTF8 is the placeholder in a body for byte 0xff, which the JSON encoder would replace.
const notUTF8 = "NOT-UTF-8"

// hostile are texts that have broken other programs.
var hostile = []string{
	`<script>alert(1)</script>`, `=cmd|' /C calc'!A0`, "\x1b[31mred\x1b]0;title\x07", "\u202egnp.exe\u200f", "a\x00b", "a\xffb",
	`../../etc/passwd`, `a/b\c`, `'; DROP TABLE files;--`, `{{7*7}}${7*7}%s%n`, "tab\tline\nend", strings.Repeat("ы", 70_000),
	"99999999999999999999", "-1", "NaN", "null", "%2e%2e%2f", ".", "..", " ", "[", "**/*[", "\U0001F4A9",
}

// wrongs returns the ways to make a good request of the operation invalid.
func (m maker) wrongs(op *operation) []wrong {
	list := []wrong{
		{what: "unknown query parameter", field: "no_such", status: 400, spoil: func(d *draft) { d.query.Set("no_such", "1") }},
		{what: "large query", field: "no_such", status: 400, spoil: func(d *draft) { d.query.Set("no_such", strings.Repeat("x", 100<<10)) }},
		{what: "many query parameters", status: 400, spoil: func(d *draft) { d.query["no_such"] = slices.Repeat([]string{"1"}, 10_000) }},
	}
	for _, parameter := range op.parameters {
		list = append(list, m.parameterWrongs(parameter)...)
	}
	if op.body == nil {
		return append(list, wrong{what: "an unexpected body", spoil: func(d *draft) { d.body = map[string]any{"a": 1} }})
	}
	list = append(list, op.bodyWrongs()...)
	return append(list, m.valueWrongs(nil, op.body)...)
}

func (m maker) parameterWrongs(parameter *openapi3.Parameter) (list []wrong) {
	schema := flat(parameter.Schema.Value)
	add := func(what string, status int, values ...string) {
		list = append(list, wrong{what: parameter.In + " " + parameter.Name + ": " + what, field: parameter.Name, status: status, spoil: func(d *draft) {
			switch parameter.In {
			case "path":
				d.path[parameter.Name] = values[0]
			case "query":
				d.query[parameter.Name] = values
			default:
				d.header[http.CanonicalHeaderKey(parameter.Name)] = values
			}
		}})
	}
	item := schema
	if schema.Type.Is("array") {
		item = flat(schema.Items.Value)
		if schema.MaxItems != nil {
			add("too many", 400, slices.Repeat([]string{sample(item)}, int(*schema.MaxItems)+1)...)
		}
	} else if parameter.In == "query" {
		add("given twice", 400, sample(schema), sample(schema))
	}
	for _, text := range m.texts(item) {
		if parameter.In == "header" && strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) ||
			parameter.In != "query" && strings.TrimSpace(text) == "" || parameter.In != "query" && len(text) > 10_000 {
			continue // cannot be sent, or means another path
		}
		status := 0
		if refuses(item, text) || parameter.In == "path" && hiddenSlash(text) {
			status = 400
		}
		add(brief(text), status, text)
	}
	return list
}

// sample returns one plain value of a parameter, as text.
func sample(schema *openapi3.Schema) string {
	switch {
	case len(schema.Enum) > 0:
		return schema.Enum[0].(string)
	case schema.Type.Is("integer"):
		return "1"
	case schema.Format == "date-time":
		return "2026-01-02T03:04:05Z"
	default:
		return "a"
	}
}

func hiddenSlash(text string) bool {
	escaped := strings.ToLower(url.PathEscape(text))
	return strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%5c")
}

// triedOfForm is the number of texts tried on a value with a pattern or format.
const triedOfForm = 8

// texts returns texts to try as a value of the schema: all if any text may be
// valid, and a few if the pattern or format excludes nearly all.
func (m maker) texts(schema *openapi3.Schema) []string {
	list := append([]string{"", "x", "1e999", "1.5", "true", "not-a-uuid"}, hostile...)
	if !schema.Type.Is("string") || schema.Format != "" || len(schema.Enum) > 0 || schema.Pattern != "" {
		m.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:triedOfForm]
	}
	if schema.MaxLength != nil {
		list = append(list, strings.Repeat("a", int(*schema.MaxLength)+1), strings.Repeat("a", int(*schema.MaxLength)))
	}
	if schema.Min != nil {
		list = append(list, strconv.Itoa(int(*schema.Min)-1))
	}
	if schema.Max != nil {
		list = append(list, strconv.Itoa(int(*schema.Max)+1))
	}
	return list
}

// refuses reports whether the specification requires that the text is refused.
// Texts that PostgreSQL or JSON cannot represent are always refused, because
// they could only be stored changed.
func refuses(schema *openapi3.Schema, text string) bool {
	n := uint64(utf8.RuneCountInString(text))
	switch {
	case !utf8.ValidString(text), strings.Contains(text, "\x00"):
		return true
	case schema.Type.Is("integer"):
		number, err := strconv.ParseInt(text, 10, 64)
		return err != nil || schema.Min != nil && float64(number) < *schema.Min || schema.Max != nil && float64(number) > *schema.Max
	case schema.Type.Is("boolean"):
		return text != "true" && text != "false"
	case len(schema.Enum) > 0:
		return !slices.Contains(schema.Enum, any(text))
	case schema.Format == "uuid", schema.Format == "date-time":
		return true
	case schema.Pattern != "" && !regexp.MustCompile(schema.Pattern).MatchString(text):
		return true
	}
	return n < schema.MinLength || schema.MaxLength != nil && n > *schema.MaxLength
}

func brief(text string) string {
	if len(text) > 30 {
		return strconv.QuoteToASCII(text[:20]) + "... of " + strconv.Itoa(len(text)) + " bytes"
	}
	return strconv.QuoteToASCII(text)
}

// bodyWrongs returns the ways to make the complete body invalid.
func (op *operation) bodyWrongs() (list []wrong) {
	raw := func(what string, status int, body string) {
		list = append(list, wrong{what: "body " + what, status: status, spoil: func(d *draft) { d.raw = []byte(body) }})
	}
	raw("cut off", 400, `{"a":`)
	raw("a list", 400, `[]`)
	raw("a text", 400, `"a"`)
	raw("a number", 400, `1e999`)
	raw("two values", 400, `{} {}`)
	raw("nested deeply", 400, strings.Repeat(`{"a":`, 20_000))
	raw("too large", 413, `{"a":"`+strings.Repeat("a", 300<<10)+`"}`)
	raw("no text at all", 400, "\xff\xfe\x00")
	raw("null", 400, ` null `)
	if op.bodyRequired {
		raw("empty", 400, ``)
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""} {
		list = append(list, wrong{what: "content type " + strconv.Quote(kind), status: 415, spoil: func(d *draft) {
			d.raw = []byte(`{"a":1}`)
			d.header["Content-Type"] = []string{kind}
		}})
	}
	return list
}

// valueWrongs returns the ways to make a single value of the body invalid.
func (m maker) valueWrongs(at []string, schema *openapi3.Schema) (list []wrong) {
	schema = flat(schema)
	add := func(what string, status int, field string, value any) {
		path := slices.Clone(at)
		list = append(list, wrong{what: "body." + strings.Join(path, ".") + ": " + what, field: field, status: status, spoil: func(d *draft) {
			d.body = put(d.body, path, value)
		}})
	}
	name := "body"
	if len(at) > 0 {
		name = at[len(at)-1]
		if _, err := strconv.Atoi(name); err == nil {
			name = at[len(at)-2]
		}
	}
	for _, other := range []struct {
		what, kind string
		value      any
	}{
		{"a text", "string", "x"}, {"a number", "integer", 7}, {"a boolean", "boolean", true}, {"a list", "array", []any{}},
		{"an object", "object", map[string]any{}}, {"null", "", nil},
	} {
		if other.value == nil && len(at) == 0 {
			continue // a null body is a missing body, see bodyWrongs
		}
		if !schema.Type.Is(other.kind) && (other.value != nil || !schema.Nullable) {
			add(other.what, 400, name, other.value)
		}
	}
	switch {
	case schema.Type.Is("object"):
		list = append(list, m.objectWrongs(at, schema)...)
	case schema.Type.Is("array"):
		if schema.MinItems > 0 {
			add("too few", 400, name, []any{})
		}
		if schema.MaxItems != nil {
			add("too many", 400, name, slices.Repeat([]any{sample(flat(schema.Items.Value))}, int(*schema.MaxItems)+1))
		}
		list = append(list, m.valueWrongs(append(slices.Clone(at), "0"), schema.Items.Value)...)
	case schema.Type.Is("integer"):
		for _, number := range []any{1.5, -1 << 62, 1e30} {
			add("a number", 400, name, number)
		}
		if schema.Min != nil {
			add("too small", 400, name, int64(*schema.Min)-1)
		}
		if schema.Max != nil {
			add("too large", 400, name, int64(*schema.Max)+1)
		}
	case schema.Type.Is("string"):
		for _, text := range m.texts(schema) {
			status := 0
			if refuses(schema, text) {
				status = 400
			}
			field := name
			if !utf8.ValidString(text) {
				field, text = "", strings.ReplaceAll(text, "\xff", notUTF8)
			}
			add(brief(text), status, field, text)
		}
	}
	return list
}

func (m maker) objectWrongs(at []string, schema *openapi3.Schema) (list []wrong) {
	if has := schema.AdditionalProperties.Has; has != nil && !*has {
		unknown := append(slices.Clone(at), "no_such")
		list = append(list, wrong{what: "body." + strings.Join(unknown, "."), field: "no_such", status: 400, spoil: func(d *draft) {
			d.body = put(d.body, unknown, 1)
		}})
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		inner := append(slices.Clone(at), name)
		if slices.Contains(schema.Required, name) {
			list = append(list, wrong{what: "without body." + strings.Join(inner, "."), field: name, status: 400, spoil: func(d *draft) {
				d.body = put(d.body, inner, absent{})
			}})
		}
		list = append(list, m.valueWrongs(inner, schema.Properties[name].Value)...)
	}
	return list
}

// absent removes a field.
type absent struct{}

// put returns a copy of the value with another value at the path; unchanged parts
// are shared. A list becomes a list of one value.
func put(value any, at []string, with any) any {
	if len(at) == 0 {
		return with
	}
	if at[0] == "0" {
		return []any{put(nil, at[1:], with)}
	}
	object, _ := value.(map[string]any)
	object = maps.Clone(object)
	if object == nil {
		object = map[string]any{}
	}
	if _, gone := with.(absent); gone && len(at) == 1 {
		delete(object, at[0])
		return object
	}
	object[at[0]] = put(object[at[0]], at[1:], with)
	return object
}
