package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/keyfile"
)

// maxSecret bounds the size of a password or key.
const maxSecret = 64 << 10

// settingFlags are the flags of server add and edit, one for each of ingest.Settings.
type settingFlags struct {
	flags    *pflag.FlagSet
	settings ingest.Server
	secrets  []*secretFlag
}

// secretFlag is a flag with the path of a file; "-" is stdin.
type secretFlag struct {
	name, field, path string
	// line reports whether the secret is a single line, without the line end.
	line bool
}

func newSettingFlags(cmd *cobra.Command) *settingFlags {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SortFlags = false
	f := &settingFlags{flags: flags}
	for _, setting := range ingest.Settings {
		if setting.Field == "host_keys" {
			f.addSecrets()
		}
		flag := flags.VarPF(&settingValue{Setting: setting, server: &f.settings}, setting.Flag(), "", settingHelp(setting))
		flag.DefValue = defaultOf(setting)
		if setting.Switch() {
			flag.NoOptDefVal = "true"
		}
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(flags)
	for _, setting := range ingest.Settings {
		completeValues(cmd, setting.Flag(), setting.Choices)
	}
	return f
}

func (f *settingFlags) addSecrets() {
	f.secret("password-file", "password", "`FILE` with the password; '-' is stdin", true)
	f.secret("private-key-file", "private_key", "`FILE` with a private key in OpenSSH, PEM or PuTTY format; '-' is stdin", false)
	f.secret("passphrase-file", "passphrase", "`FILE` with the passphrase of the private key, which is stored without it; '-' is stdin", true)
	f.secret("certificate-file", "certificate", "`FILE` with the OpenSSH user certificate of the private key (...-cert.pub)", false)
}

// defaultOf returns the default of a setting for the help, or "" when it is the empty
// value.
func defaultOf(setting ingest.Setting) string {
	if setting.Default != "" {
		return setting.Default
	}
	text := setting.Text(ingest.Server{}.WithDefaults(ingest.ServerDefaults{}))
	if text == setting.Text(ingest.Server{}) && len(setting.Choices) == 0 {
		return ""
	}
	return text
}

func (f *settingFlags) secret(name, field, usage string, line bool) {
	secret := &secretFlag{name: name, field: field, line: line}
	f.secrets = append(f.secrets, secret)
	f.flags.StringVar(&secret.path, name, "", usage)
}

// hideDefaults is for edit, which keeps settings that are not given.
func (f *settingFlags) hideDefaults() {
	f.flags.VisitAll(func(flag *pflag.Flag) { flag.DefValue = "" })
}

// given returns the settings and credentials whose flags were given. Secrets in remove
// are set to nothing.
func (f *settingFlags) given(stdin io.Reader, remove ...string) (settings openapi.ServerSettings, err error) {
	fields := map[string]any{}
	for _, field := range remove {
		fields[field] = ""
	}
	if err := f.readSecrets(stdin, fields); err != nil {
		return settings, err
	}
	f.flags.VisitAll(func(flag *pflag.Flag) {
		if setting, ok := flag.Value.(*settingValue); ok && flag.Changed {
			fields[setting.Field] = setting.Value(f.settings)
		}
	})
	encoded, _ := json.Marshal(fields) // strings, numbers, switches and lists
	return settings, json.Unmarshal(encoded, &settings)
}

func (f *settingFlags) readSecrets(stdin io.Reader, fields map[string]any) error {
	fromStdin := ""
	for _, secret := range f.secrets {
		switch {
		case secret.path == "":
			continue
		case fields[secret.field] != nil:
			return usageErrorf("--%s and --no-%s exclude each other", secret.name, strings.TrimSuffix(secret.name, "-file"))
		case secret.path == "-" && fromStdin != "":
			return usageErrorf("--%s and --%s cannot both be stdin", fromStdin, secret.name)
		case secret.path == "-":
			fromStdin = secret.name
		}
		content, err := secret.read(stdin)
		if err != nil {
			return err
		}
		fields[secret.field] = string(content)
	}
	return nil
}

// read returns the secret. Errors never quote it.
func (s *secretFlag) read(stdin io.Reader) ([]byte, error) {
	from := stdin
	if s.path != "-" {
		file, err := os.Open(s.path)
		if err != nil {
			return nil, s.failed(err)
		}
		defer func() { _ = file.Close() }() // only read
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, maxSecret+1))
	if err != nil {
		return nil, s.failed(err)
	}
	if len(content) > maxSecret {
		return nil, usageErrorf("--%s %s is larger than %d bytes: it is no password or key", s.name, s.path, maxSecret)
	}
	content = keyfile.Text(content)
	if s.line { // editors and echo add one line end
		content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	}
	if len(content) == 0 {
		return nil, usageErrorf("--%s %s is empty", s.name, s.path)
	}
	return content, nil
}

// failed describes an error of the file system.
func (s *secretFlag) failed(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return usageErrorf("--%s %s: %w", s.name, safe(s.path), err)
}

// settingValue is the flag of a setting. The flag of a list may be repeated.
type settingValue struct {
	ingest.Setting
	server *ingest.Server
	given  []string
}

// String implements pflag.Value. Defaults are in the help text.
func (*settingValue) String() string { return "" }

// Set implements pflag.Value.
func (v *settingValue) Set(text string) error {
	if len(v.Choices) > 0 {
		if err := (&choice[string]{values: v.Choices, set: func(string) {}}).Set(text); err != nil {
			return err
		}
	}
	if v.List() {
		v.given = append(v.given, text)
		text = strings.Join(v.given, "\n")
	}
	return v.SetText(v.server, text)
}

// Type implements pflag.Value; help texts show it after the flag.
func (v *settingValue) Type() string {
	switch {
	case v.Placeholder != "":
		return v.Placeholder
	case v.Switch():
		return "bool"
	case v.List():
		return "GLOB"
	case len(v.Choices) > 0:
		return strings.Join(v.Choices, "|")
	case v.Duration():
		return "TIME"
	default:
		return "N"
	}
}

func settingHelp(setting ingest.Setting) string {
	help := strings.TrimSuffix(setting.Help, ".")
	if first, rest, _ := strings.Cut(help, " "); len(first) == 1 || first != strings.ToUpper(first) { // not for "DNS"
		help = strings.ToLower(first) + " " + rest
	}
	if setting.List() {
		help += "; may be repeated"
	}
	return help
}

// settingsOf returns the settings of a server. Fields have the same names in both types,
// except for host keys, which have another form.
func settingsOf(s openapi.Server) (server ingest.Server) {
	fields := map[string]json.RawMessage{}
	encoded, _ := json.Marshal(s) // strings, numbers, switches and lists
	_ = json.Unmarshal(encoded, &fields)
	for _, setting := range ingest.Settings {
		_ = setting.SetJSON(&server, fields[setting.Field]) // fails for host keys only
	}
	return server
}
