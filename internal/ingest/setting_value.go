package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// address returns the address of the setting's value in s.
func (i Setting) address(s *Server) any {
	if i.option != nil {
		return i.option(&s.Options)
	}
	return i.pointer(s)
}

// of returns the setting's value in s.
func (i Setting) of(s *Server) reflect.Value { return reflect.ValueOf(i.address(s)).Elem() }

// kind returns the kind of the setting's value.
func (i Setting) kind() reflect.Kind { return i.of(&Server{}).Kind() }

// Switch reports whether the setting is a boolean.
func (i Setting) Switch() bool { return i.kind() == reflect.Bool }

// List reports whether the setting is a list of strings.
func (i Setting) List() bool { return i.kind() == reflect.Slice }

// Number reports whether the setting is a number without a unit.
func (i Setting) Number() bool {
	return !i.Duration() && (i.kind() == reflect.Int || i.kind() == reflect.Int64)
}

// Duration reports whether the setting is a duration.
func (i Setting) Duration() bool {
	is := i.of(&Server{}).Type()
	return is == reflect.TypeFor[time.Duration]() || is == reflect.TypeFor[Duration]()
}

// IsDefault reports whether the setting has the value of a server without settings.
func (i Setting) IsDefault(s Server) bool {
	return i.Text(s) == i.Text(Server{}.WithDefaults(ServerDefaults{}))
}

// Text returns the setting's value as text, with one line for each element of a list.
func (i Setting) Text(s Server) string {
	switch value := i.of(&s); {
	case value.IsZero() && len(i.Choices) > 0:
		return i.Choices[0]
	case i.defaultList(&s):
		return ""
	case i.List() && value.Len() == 0 && i.option != nil:
		return "-"
	case i.List():
		return strings.Join(value.Interface().([]string), "\n")
	case i.Duration():
		return time.Duration(value.Int()).String()
	default:
		return fmt.Sprint(value.Interface())
	}
}

// defaultList reports whether the setting is an optional list that has its default, which
// is not the empty list.
func (i Setting) defaultList(s *Server) bool { return i.option != nil && i.List() && i.of(s).IsNil() }

// SetText sets the setting from its text. An empty text sets the default of an option
// and the zero value of other settings.
func (i Setting) SetText(s *Server, text string) error {
	if !i.Exact {
		text = strings.TrimSpace(text)
	}
	switch value := i.of(s); {
	case text == "":
		value.SetZero()
	case i.List():
		value.Set(reflect.ValueOf(listOf(text)))
	case i.Switch():
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fieldErrorf(i.Field, "%s %q: use true or false", i.Flag(), text)
		}
		value.SetBool(on)
	case i.Duration():
		d, err := time.ParseDuration(text)
		if err != nil {
			return fieldErrorf(i.Field, "%s %q: use a duration such as 10s or 5m", i.Flag(), text)
		}
		value.SetInt(int64(d))
	case i.Number():
		n, err := strconv.ParseInt(text, 10, value.Type().Bits())
		if err != nil {
			return fieldErrorf(i.Field, "%s %q: use a whole number", i.Flag(), text)
		}
		value.SetInt(n)
	default:
		value.SetString(text)
	}
	i.normalize(s)
	return nil
}

// listOf returns the non-empty lines of text; "-" is an empty list.
func listOf(text string) []string {
	list := []string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "-" {
			list = append(list, line)
		}
	}
	return list
}

// Value returns the setting's value for JSON, with the default filled in.
func (i Setting) Value(s Server) any {
	switch value := i.of(&s); {
	case i.defaultList(&s):
		return []string{InProgressDefault}
	case i.List():
		return append([]string{}, value.Interface().([]string)...) // nil and an empty list are equal
	case i.Duration() || len(i.Choices) > 0:
		return i.Text(s)
	default:
		return value.Interface()
	}
}

// SameReach reports whether the servers are reached alike: their credentials and their
// settings with Reach are equal.
func SameReach(x, y Server) bool {
	for _, setting := range Settings {
		if setting.Reach && !reflect.DeepEqual(setting.Value(x), setting.Value(y)) {
			return false
		}
	}
	return bytes.Equal(x.PasswordEncrypted, y.PasswordEncrypted) && bytes.Equal(x.PrivateKeyEncrypted, y.PrivateKeyEncrypted)
}

// SetJSON sets the setting from its JSON value, see Value.
func (i Setting) SetJSON(s *Server, value json.RawMessage) error {
	target := i.address(s)
	if d, ok := target.(*time.Duration); ok {
		target = (*Duration)(d)
	}
	if err := json.Unmarshal(value, target); err != nil {
		hint := i.Help
		if i.Duration() {
			hint = "use a duration such as 10s or 5m"
		}
		return fieldErrorf(i.Field, "%s: %s", i.Flag(), hint)
	}
	i.normalize(s)
	return nil
}

// Copy sets the setting of s to its value in from.
func (i Setting) Copy(s *Server, from Server) { i.of(s).Set(i.of(&from)) }

// SettingValues returns the values of all settings by field, see Setting.Value.
func (s Server) SettingValues() map[string]any {
	values := make(map[string]any, len(Settings))
	for _, setting := range Settings {
		values[setting.Field] = setting.Value(s)
	}
	return values
}

// normalize replaces the explicit default of an option by the zero value, so that equal
// options compare equal.
func (i Setting) normalize(s *Server) {
	value := i.of(s)
	switch {
	case i.option == nil:
	case i.List() && slices.Equal(value.Interface().([]string), []string{InProgressDefault}):
		value.SetZero()
	case len(i.Choices) > 0 && value.String() == i.Choices[0]:
		value.SetZero()
	}
}

// validate returns the first problem of the setting's value that follows from its
// description, or nil.
func (i Setting) validate(s Server) error {
	value := i.of(&s)
	switch {
	case len(i.Choices) > 0 && !slices.Contains(i.Choices, i.Text(s)):
		return fieldErrorf(i.Field, "%s %q: use %s", i.Flag(), i.Text(s), OneOf(i.Choices))
	case i.Min == 0 && i.Max == 0 || !value.CanInt() || value.Int() >= i.Min && value.Int() <= i.Max || value.IsZero() && i.ZeroMeans != "":
		return nil
	}
	low, high := fmt.Sprint(i.Min), fmt.Sprint(i.Max)
	if i.Duration() {
		low, high = shortDuration(i.Min), shortDuration(i.Max)
	}
	zero := ""
	if i.ZeroMeans != "" {
		zero = ", or 0s for " + i.ZeroMeans
	}
	return fieldErrorf(i.Field, "%s %s: use %s to %s%s", i.Flag(), i.Text(s), low, high, zero)
}

// shortDuration returns a number of nanoseconds as a duration without zero units, such
// as "24h".
func shortDuration(ns int64) string {
	text := time.Duration(ns).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

// OneOf returns the values as "a, b or c".
func OneOf[T ~string](values []T) string {
	var text strings.Builder
	for i, value := range values {
		switch {
		case i == 0:
		case i == len(values)-1:
			text.WriteString(" or ")
		default:
			text.WriteString(", ")
		}
		text.WriteString(string(value))
	}
	return text.String()
}

// visible returns an error if the setting's text holds an invisible character. It comes
// from pasted text and would make a host or folder mysteriously unknown.
func (i Setting) visible(s Server) error {
	if i.Field == "name" || i.Field == "host_keys" || i.kind() != reflect.String && !i.List() {
		return nil // names and keys have stricter checks
	}
	texts := []string{i.Text(s)}
	if list, ok := i.Value(s).([]string); ok {
		texts = list
	}
	for _, text := range texts {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(text) {
			return fieldErrorf(i.Field, "%s %s holds an invisible character: type it again", i.Flag(), Summary(text))
		}
	}
	return nil
}
