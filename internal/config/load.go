package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Options holds the sources of Load.
type Options struct {
	// Environ is the environment in the format of os.Environ.
	Environ []string
	// File is the value of the --config flag. Default: STEVEDORE_CONFIG_FILE, or no file.
	File string
	// Flags holds the command-line flags that were set, by name without dashes.
	Flags map[string]string
}

// configFile is the variable that names the configuration file.
const configFile = "STEVEDORE_CONFIG_FILE"

// The sources of a value.
const (
	sourceDefault = "default"
	sourceFile    = "file"
	sourceEnv     = "env"
	sourceFlag    = "flag"
)

// value is an unparsed value with its source.
type value struct {
	text, source string
}

// loaded holds unparsed values. It contains secrets in clear and is never printed.
type loaded struct {
	// values holds every stevedore variable that is set or has a default.
	values map[string]value
	// environ is the environment merged with the file, for other libraries.
	environ map[string]string
	// malformed lists the values that could not be parsed.
	malformed []Problem
}

// found returns the values that Load read; none for a Config without Load.
func (c Config) found() loaded {
	if c.loaded == nil {
		return loaded{}
	}
	return c.loaded()
}

// Load reads the configuration; the package comment states the precedence of its
// sources. An empty value counts as not set. Invalid values are reported together by
// Validate: Load fails only for an unreadable file or an unknown flag.
func Load(opts Options) (Config, error) {
	environ := env.ToMap(opts.Environ)
	file := map[string]string{}
	if path := cmp.Or(opts.File, environ[configFile]); path != "" {
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
		l.set(f.name, f.defaultText, sourceDefault)
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

// set sets a value, unless the new one is empty.
func (l loaded) set(name, text, source string) {
	if text != "" {
		l.values[name] = value{text: text, source: source}
	}
}

// routeToQueue sets the default of the routing key to the name of the queue: the broker's
// default exchange routes by queue name.
func (l loaded) routeToQueue() {
	const key = "STEVEDORE_AMQP_ROUTING_KEY"
	if l.values[key].text == "" {
		l.set(key, l.values["STEVEDORE_AMQP_QUEUE"].text, sourceDefault)
	}
}

// parse fills c and returns the malformed values. It parses section by section: the
// library reports the name of a field, which is unique only within its section.
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

// malformed converts an error of the library to one that names the variable.
func malformed(section reflect.Type, err error, values map[string]value) Problem {
	var failure env.ParseError
	if !errors.As(err, &failure) {
		return Problem{Message: err.Error()} // invalid tags, which TestTagsAreComplete detects
	}
	field, _ := section.FieldByName(failure.Name)
	f := newField(field)
	return Problem{
		Variable: f.name,
		Message:  fmt.Sprintf("%q is not %s: %s", f.show(values[f.name].text), kindOf(field.Type), f.description),
	}
}

// kindOf describes a type for users.
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

// flagValues returns the values of flags by variable.
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

// Environ returns the environment merged with the configuration file, in the format
// of os.Environ. Environ and LookupEnv implement envconfig.EnvLookup of the Temporal
// SDK, so that TEMPORAL_ variables may be set in the file, too. The result contains
// secrets in clear.
func (c Config) Environ() []string {
	merged := c.found().environ
	environ := make([]string, 0, len(merged))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		environ = append(environ, name+"="+merged[name])
	}
	return environ
}

// LookupEnv returns a variable of the environment or else of the configuration file.
func (c Config) LookupEnv(name string) (string, bool) {
	text, ok := c.found().environ[name]
	return text, ok
}

// flagName returns the flag of a variable: STEVEDORE_S3_BUCKET is --s3-bucket.
func flagName(variable string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, prefix)), "_", "-")
}
