package config

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// prefix begins the name of every variable.
const prefix = "STEVEDORE_"

// field holds the tags of one variable.
type field struct {
	name, flag, description, defaultText string
	secret, url                          bool
	required                             []string
}

// sections yields the structs of the configuration, in the order of Config.
func sections(c *Config) iter.Seq[reflect.Value] {
	return func(yield func(reflect.Value) bool) {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !yield(v.Field(i)) {
				return
			}
		}
	}
}

// fields returns all variables in the order of Config.
func fields() []field {
	var all []field
	for section := range sections(&Config{}) {
		for i := range section.NumField() {
			all = append(all, newField(section.Type().Field(i)))
		}
	}
	return all
}

// newField reads the tags of a field. Secrets have no flag, because every user of a
// machine can read its command lines; nor do URLs, which may hold one, except for
// the API's URL.
func newField(sf reflect.StructField) field {
	f := field{
		name:        sf.Tag.Get("env"),
		description: sf.Tag.Get("doc"),
		defaultText: sf.Tag.Get("envDefault"),
		secret:      sf.Type == reflect.TypeFor[Secret](),
		url:         sf.Type == reflect.TypeFor[URL](),
	}
	if required := sf.Tag.Get("required"); required != "" {
		f.required = strings.Split(required, ",")
	}
	if !f.secret && (!f.url || f.defaultText != "") {
		f.flag = flagName(f.name)
	}
	return f
}

// show returns the value in printable form, with secrets masked.
func (f field) show(text string) string {
	switch {
	case f.secret:
		return Secret(text).String()
	case f.url:
		return URL(text).String()
	default:
		return text
	}
}

// Variable describes one variable for users. Value never contains a secret.
type Variable struct {
	Name string `json:"name"`
	// Flag has no leading dashes; empty for variables without a flag.
	Flag string `json:"flag,omitempty"`
	// Value is the effective value, with secrets masked.
	Value string `json:"value"`
	// Source is "default", "file", "env" or "flag".
	Source      string `json:"source"`
	Description string `json:"description"`
	Default     string `json:"default,omitempty"`
	Secret      bool   `json:"secret,omitempty"`
	// RequiredBy lists the components that do not start without it.
	RequiredBy []string `json:"required_by,omitempty"`
}

// Variables returns every variable with its default.
func Variables() []Variable { return variables(nil) }

// Effective returns every variable with its effective value and source.
func (c Config) Effective() []Variable { return variables(c.found().values) }

// variables returns all variables with the given values.
func variables(values map[string]value) []Variable {
	var all []Variable
	for _, f := range fields() {
		v, ok := values[f.name]
		if !ok {
			v = value{text: f.defaultText, source: sourceDefault}
		}
		all = append(all, Variable{
			Name: f.name, Flag: f.flag, Value: f.show(v.text), Source: v.source,
			Description: f.description, Default: f.defaultText, Secret: f.secret || f.url && f.flag == "", RequiredBy: f.required,
		})
	}
	return all
}

// temporalVariables lists variables that the Temporal SDK reads.
var temporalVariables = [][2]string{
	{"TEMPORAL_ADDRESS", "Address of the Temporal frontend as host:port; default localhost:7233"},
	{"TEMPORAL_NAMESPACE", "Namespace; default `default`"},
	{"TEMPORAL_API_KEY", "API key; enables TLS"},
	{"TEMPORAL_TLS", "Whether to use TLS: true or false"},
	{"TEMPORAL_TLS_CLIENT_CERT_PATH", "Client certificate, PEM"},
	{"TEMPORAL_TLS_CLIENT_KEY_PATH", "Key of the client certificate, PEM"},
	{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", "Certificate authority of the server, PEM"},
	{"TEMPORAL_TLS_SERVER_NAME", "Expected name in the server's certificate"},
	{"TEMPORAL_CONFIG_FILE", "Temporal's own TOML configuration file"},
	{"TEMPORAL_PROFILE", "Profile in that file"},
}

// Markdown returns the tables of docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Variable | Flag | Default | Required by | Meaning |\n|---|---|---|---|---|\n")
	all := append(Variables(), Variable{
		Name: configFile, Flag: "config", Description: "File with KEY=value lines; flags and environment variables take precedence",
	})
	for _, variable := range all {
		flag := "none: visible in the process list"
		if variable.Flag != "" {
			flag = code("--" + variable.Flag)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
			code(variable.Name), flag, code(variable.Default), strings.Join(variable.RequiredBy, ", "), cell(variable.Description))
	}
	b.WriteString("\nThe connection to Temporal is configured by the variables of Temporal's own SDK (its envconfig package):\n\n")
	b.WriteString("| Variable | Meaning |\n|---|---|\n")
	for _, v := range temporalVariables {
		fmt.Fprintf(&b, "| %s | %s |\n", code(v[0]), cell(v[1]))
	}
	return b.String()
}

// code formats text as Markdown code; the empty string stays empty.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}

// cell escapes text for a Markdown table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// requires reports whether the component needs the variable to start.
func (f field) requires(component Component) bool {
	return slices.Contains(f.required, string(component))
}
