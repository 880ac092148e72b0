package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Options says where Load looks.
type Options struct {
	// Environ is the environment as os.Environ gives it.
	Environ []string
	// File is the configuration file of the --config flag; empty means the one
	// STEVEDORE_CONFIG_FILE names, if any.
	File string
	// Flags are the command-line flags that were given, by name without dashes.
	Flags map[string]string
}

// configFile is the variable that names the configuration file.
const configFile = "STEVEDORE_CONFIG_FILE"

// The places a value may come from.
const (
	sourceDefault = "default"
	sourceFile    = "file"
	sourceEnv     = "env"
	sourceFlag    = "flag"
)

// value is a raw value and where it came from.
type value struct {
	text, source string
}

// loaded is what Load found. It holds secrets in clear and is never printed.
type loaded struct {
	// values has every stevedore variable that is set, defaults included.
	values map[string]value
	// environ is the environment merged with the file, for other libraries.
	environ map[string]string
	// malformed are the values that could not be parsed.
	malformed []Problem
}

// found returns what Load found; nothing for a Config made otherwise.
func (c Config) found() loaded {
	if c.loaded == nil {
		return loaded{}
	}
	return c.loaded()
}

// Load reads the configuration: flags win over the environment, the
// environment over the file, the file over defaults. An empty value counts as
// not set. Values that are wrong are reported by Validate, all at once; Load
// itself fails only when the file cannot be read or a flag is not known.
func Load(opts Options) (Config, error) {
	environ := env.ToMap(opts.Environ)
	file := map[string]string{}
	if path := firstNonEmpty(opts.File, environ[configFile]); path != "" {
		var err error
		if file, err = readFile(path); err != nil {
			return Config{}, err
		}
	}
	flags, err := flagValues(opts.Flags)
	if err != nil {
		return Config{}, err
	}
	l := loaded{values: map[string]value{}, environ: maps.Clone(file)}
	maps.Copy(l.environ, environ)
	for _, f := range fields() {
		l.set(f.name, f.standard, sourceDefault)
		l.set(f.name, file[f.name], sourceFile)
		l.set(f.name, environ[f.name], sourceEnv)
		l.set(f.name, flags[f.name], sourceFlag)
	}
	l.routeToQueue()
	var c Config
	l.malformed = parse(&c, l.values)
	c.loaded = func() loaded { return l }
	return c, nil
}

// set overrides a value, unless the new one is empty.
func (l loaded) set(name, text, source string) {
	if text != "" {
		l.values[name] = value{text: text, source: source}
	}
}

// routeToQueue makes the default exchange deliver to the queue: it routes by
// the queue's name.
func (l loaded) routeToQueue() {
	const key = "STEVEDORE_AMQP_ROUTING_KEY"
	if l.values[key].text == "" {
		l.set(key, l.values["STEVEDORE_AMQP_QUEUE"].text, sourceDefault)
	}
}

// parse fills every section of the configuration and returns what could not be
// parsed. Sections are parsed one by one, because the library names the field
// that is wrong, and only within a section a field's name is unique.
func parse(c *Config, values map[string]value) []Problem {
	environ := make(map[string]string, len(values))
	for name, v := range values {
		environ[name] = v.text
	}
	var problems []Problem
	for section := range sections(c) {
		err := env.ParseWithOptions(section.Addr().Interface(), env.Options{Environment: environ})
		var all env.AggregateError
		if !errors.As(err, &all) {
			continue
		}
		for _, err := range all.Errors {
			problems = append(problems, malformed(section.Type(), err, values))
		}
	}
	return problems
}

// malformed turns the library's error into one that names the variable.
func malformed(section reflect.Type, err error, values map[string]value) Problem {
	var wrong env.ParseError
	if !errors.As(err, &wrong) {
		return Problem{Message: err.Error()} // a mistake in our tags; a test finds it
	}
	field, _ := section.FieldByName(wrong.Name)
	f := newField(field)
	return Problem{
		Variable: f.name,
		Message:  fmt.Sprintf("%q is not %s: %s", f.show(values[f.name].text), kindOf(field.Type), f.description),
	}
}

// kindOf names a type as people call it.
func kindOf(t reflect.Type) string {
	switch t.String() {
	case "int", "int64":
		return "a whole number"
	case "bool":
		return "true or false"
	case "time.Duration":
		return "a duration such as 10s or 5m"
	case "[]netip.Prefix":
		return "a list of networks such as 10.0.0.0/8,127.0.0.0/8"
	default:
		return "one of the allowed values"
	}
}

// flagValues returns the given flags by the name of their variable.
func flagValues(flags map[string]string) (map[string]string, error) {
	known := map[string]string{}
	for _, f := range fields() {
		if f.flag != "" {
			known[f.flag] = f.name
		}
	}
	values := make(map[string]string, len(flags))
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		name, ok := known[flag]
		if !ok {
			return nil, fmt.Errorf("flag --%s is not a configuration flag", flag)
		}
		values[name] = flags[flag]
	}
	return values, nil
}

// firstNonEmpty returns the first text that is not empty.
func firstNonEmpty(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// Environ returns the environment merged with the configuration file, in the
// form of os.Environ. With LookupEnv it makes a Config the EnvLookup that the
// Temporal SDK's envconfig takes, so that TEMPORAL_ variables may stand in the
// file, too. It holds secrets in clear.
func (c Config) Environ() []string {
	merged := c.found().environ
	environ := make([]string, 0, len(merged))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		environ = append(environ, name+"="+merged[name])
	}
	return environ
}

// LookupEnv returns a variable of the environment or, failing that, of the
// configuration file.
func (c Config) LookupEnv(name string) (string, bool) {
	text, ok := c.found().environ[name]
	return text, ok
}

// flagName returns the flag of a variable: STEVEDORE_S3_BUCKET is --s3-bucket.
func flagName(variable string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, prefix)), "_", "-")
}
