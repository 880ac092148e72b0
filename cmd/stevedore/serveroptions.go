package main

import (
	"encoding/json"
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// optionValue is the flag of one of the server's options. The flag of a list may be
// repeated.
type optionValue struct {
	info    ingest.OptionInfo
	options *ingest.Options
	given   []string
}

// String implements pflag.Value. Defaults are in the help text.
func (*optionValue) String() string { return "" }

// Set implements pflag.Value.
func (v *optionValue) Set(text string) error {
	if v.info.List() {
		v.given = append(v.given, text)
		text = strings.Join(v.given, "\n")
	}
	return v.info.SetText(v.options, text)
}

// Type implements pflag.Value; it is what the help shows after the flag.
func (v *optionValue) Type() string {
	switch {
	case v.info.Switch():
		return "bool"
	case v.info.List():
		return "GLOB"
	case len(v.info.Choices) > 0:
		return strings.Join(v.info.Choices, "|")
	default:
		return "VALUE"
	}
}

func optionHelp(info ingest.OptionInfo) string {
	help := strings.ToLower(info.Help[:1]) + strings.TrimSuffix(info.Help[1:], ".")
	if info.List() {
		help += "; may be repeated"
	}
	return help
}

// optionsOf returns the options of a server, which have the same names in both types.
func optionsOf(s openapi.Server) (options ingest.Options) {
	encoded, _ := json.Marshal(s) // texts, numbers and switches: cannot fail
	_ = json.Unmarshal(encoded, &options)
	options.NormalizeOptions()
	return options
}

// setOptions sets the options whose flags were given.
func setOptions(settings *openapi.ServerSettings, options ingest.Options, given func(flag string) bool) {
	fields := map[string]any{}
	for _, info := range ingest.OptionTable {
		if given(info.Flag()) {
			fields[info.Field] = info.Value(options)
		}
	}
	encoded, _ := json.Marshal(fields) // texts, numbers and switches: cannot fail
	_ = json.Unmarshal(encoded, settings)
}
