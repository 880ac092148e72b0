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

// field is what the tags say about one variable.
type field struct {
	name, flag, description, standard string
	secret, url                       bool
	required                          []string
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

// newField reads the tags of a field. Secrets, and URLs which may hold one,
// have no flag: every user of a machine can read its command lines. Only the
// client's URL, which holds none, has.
func newField(sf reflect.StructField) field {
	f := field{
		name:        sf.Tag.Get("env"),
		description: sf.Tag.Get("doc"),
		standard:    sf.Tag.Get("envDefault"),
		secret:      sf.Type == reflect.TypeFor[Secret](),
		url:         sf.Type == reflect.TypeFor[URL](),
	}
	if required := sf.Tag.Get("required"); required != "" {
		f.required = strings.Split(required, ",")
	}
	if !f.secret && (!f.url || f.standard != "") {
		f.flag = flagName(f.name)
	}
	return f
}

// show returns a value of the variable as it may be printed.
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

// Setting is one variable, for people. Value never holds a secret.
type Setting struct {
	Name string `json:"name"`
	// Flag is without dashes; empty when there is none.
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

// Settings returns every variable with its default, to make flags from.
func Settings() []Setting { return settings(nil) }

// Effective returns every variable with its effective value and its source.
func (c Config) Effective() []Setting { return settings(c.found().values) }

// settings returns all variables with the given values.
func settings(values map[string]value) []Setting {
	var all []Setting
	for _, f := range fields() {
		v, ok := values[f.name]
		if !ok {
			v = value{text: f.standard, source: sourceDefault}
		}
		all = append(all, Setting{
			Name: f.name, Flag: f.flag, Value: f.show(v.text), Source: v.source,
			Description: f.description, Default: f.standard, Secret: f.secret || f.url && f.flag == "", RequiredBy: f.required,
		})
	}
	return all
}

// temporalVariables are read by the Temporal SDK, not by this package.
var temporalVariables = [][2]string{
	{"TEMPORAL_ADDRESS", "Temporal frontend as host:port; default localhost:7233"},
	{"TEMPORAL_NAMESPACE", "Namespace; default `default`"},
	{"TEMPORAL_API_KEY", "API key; switches TLS on"},
	{"TEMPORAL_TLS", "Whether to speak TLS: true or false"},
	{"TEMPORAL_TLS_CLIENT_CERT_PATH", "Client certificate, PEM"},
	{"TEMPORAL_TLS_CLIENT_KEY_PATH", "Key of the client certificate, PEM"},
	{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", "Certificate authority of the server, PEM"},
	{"TEMPORAL_TLS_SERVER_NAME", "Name the server's certificate must have"},
	{"TEMPORAL_CONFIG_FILE", "Temporal's own TOML configuration file"},
	{"TEMPORAL_PROFILE", "Profile in that file"},
}

// Markdown returns the tables of docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Variable | Flag | Default | Required by | Meaning |\n|---|---|---|---|---|\n")
	all := append(Settings(), Setting{
		Name: configFile, Flag: "config", Description: "File with KEY=value lines; the environment and flags win over it",
	})
	for _, s := range all {
		flag := "none: it would show in the process list"
		if s.Flag != "" {
			flag = code("--" + s.Flag)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
			code(s.Name), flag, code(s.Default), strings.Join(s.RequiredBy, ", "), cell(s.Description))
	}
	b.WriteString("\nThe connection to Temporal is configured by the variables of Temporal's own SDK (its envconfig package):\n\n")
	b.WriteString("| Variable | Meaning |\n|---|---|\n")
	for _, v := range temporalVariables {
		fmt.Fprintf(&b, "| %s | %s |\n", code(v[0]), cell(v[1]))
	}
	return b.String()
}

// code sets text in code type; nothing stays nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}

// cell keeps text from ending its table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// requires reports whether the component does not start without the variable.
func (f field) requires(component Component) bool {
	return slices.Contains(f.required, string(component))
}
