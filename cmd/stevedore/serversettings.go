package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/keyfile"
)

// maxSecret bounds the size of a password or key.
const maxSecret = 64 << 10

// settingFlags are the flags of server add and edit. The name of a flag is the field of
// the API with '-' for '_', except for renamedSettings.
type settingFlags struct {
	flags   *pflag.FlagSet
	options ingest.Options
	secrets []*secretFlag
}

var renamedSettings = map[string]string{"path": "root_path", "host-key": "host_keys"}

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
	flags.String("name", "", "unique `NAME`: letters, digits, '-', '_', '.'")
	flags.String("host", "", "DNS name or IP `ADDRESS`")
	flags.Int("port", 22, "`PORT`")
	flags.String("username", "", "`USER` for the log-in")
	f.secret("password-file", "password", "`FILE` with the password; '-' is stdin", true)
	f.secret("private-key-file", "private_key", "`FILE` with a private key in OpenSSH, PEM or PuTTY format; '-' is stdin", false)
	f.secret("passphrase-file", "passphrase", "`FILE` with the passphrase of the private key, which is stored without it; '-' is stdin", true)
	f.secret("certificate-file", "certificate", "`FILE` with the OpenSSH user certificate of the private key (...-cert.pub)", false)
	flags.StringArray("host-key", nil, "`KEY` of the server, 'ssh-ed25519 AAAA...'; may be repeated")
	flags.String("path", "/", "`DIR` of the files, subfolders included; ~/dir is relative to the home folder")
	flags.StringArray("include", nil, "ingest only files that match the `GLOB`, e.g. '**/*.csv'; may be repeated")
	flags.StringArray("exclude", nil, "exclude files that match the `GLOB`; may be repeated")
	flags.Int("max-parallel", 4, "concurrency limit: `N` files in flight, 1 to 256")
	flags.Duration("settle", 0, "`TIME` without changes after which a file is settled, e.g. 10s")
	flags.Duration("scan-interval", 0, "least `TIME` between scheduled scans, e.g. 5m")
	f.choice("transfer", "transfer `MODE`: auto (by file size), staged (on the worker's disk first) or direct (streamed into the object store)",
		string(ingest.TransferAuto), string(ingest.TransferStaged), string(ingest.TransferDirect))
	flags.String("after-ingest", string(ingest.AfterKeep), "`ACTION` on the source after ingest: keep, delete or move:/dir")
	f.choice("on-collision", "`ACTION` when the target of a move exists: rename, overwrite or keep the source",
		string(ingest.CollisionRename), string(ingest.CollisionOverwrite), string(ingest.CollisionKeep))
	flags.Duration("min-age", 0, "least age of a file before it is ingested")
	flags.String("done-marker", "", "ingest a file only once the file `NAME` is beside it; '*' is the file's name, e.g. '*.done'")
	flags.Duration("sidecar-wait", 0, "`TIME` that a settled file waits for its checksum file X.sha256")
	flags.Int("max-depth", ingest.MaxDepth, "descend `N` levels of folders below --path, 1 to 64")
	flags.Bool("read-once", false, "the server returns each file only once: open it once and do not stat it afterwards")
	flags.Bool("legacy-algorithms", false, "also offer SHA-1 algorithms, which old servers require")
	for _, info := range ingest.OptionTable {
		flag := flags.VarPF(&optionValue{info: info, options: &f.options}, info.Flag(), "", optionHelp(info))
		if info.Switch() {
			flag.NoOptDefVal = "true"
		}
	}
	flags.Lookup("settle").DefValue = "STEVEDORE_SETTLE"
	flags.Lookup("scan-interval").DefValue = "STEVEDORE_SCAN_INTERVAL"
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(flags)
	flags.VisitAll(func(flag *pflag.Flag) {
		switch typed := flag.Value.(type) {
		case *choice[string]:
			completeValues(cmd, flag.Name, typed.values)
		case *optionValue:
			completeValues(cmd, flag.Name, typed.info.Choices)
		}
	})
	return f
}

func (f *settingFlags) secret(name, field, usage string, line bool) {
	secret := &secretFlag{name: name, field: field, line: line}
	f.secrets = append(f.secrets, secret)
	f.flags.StringVar(&secret.path, name, "", usage)
}

// choice adds a flag with fixed values; the first one is the default.
func (f *settingFlags) choice(name, usage string, values ...string) {
	c := &choice[string]{values: values, fallback: values[0]}
	c.set = func(value string) { c.fallback = value }
	f.flags.Var(c, name, usage)
}

// hideDefaults is for edit, which keeps settings that are not given.
func (f *settingFlags) hideDefaults() {
	f.flags.VisitAll(func(flag *pflag.Flag) {
		flag.DefValue = map[string]string{"int": "0", "duration": "0s", "bool": "false", "stringArray": "[]"}[flag.Value.Type()]
	})
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
		if flag.Changed && !strings.HasSuffix(flag.Name, "-file") {
			fields[cmp.Or(renamedSettings[flag.Name], strings.ReplaceAll(flag.Name, "-", "_"))] = settingOf(flag.Value)
		}
	})
	encoded, _ := json.Marshal(fields) // strings, numbers, switches and lists
	return settings, json.Unmarshal(encoded, &settings)
}

// settingOf returns the value of a flag as the API encodes it.
func settingOf(flag pflag.Value) any {
	text := flag.String()
	switch typed := flag.(type) {
	case *optionValue:
		return typed.info.Value(*typed.options)
	case pflag.SliceValue:
		return nonEmpty(typed.GetSlice()...) // an empty text is the empty list
	}
	switch flag.Type() {
	case "int":
		n, _ := strconv.Atoi(text) // the flag is a number
		return n
	case "bool":
		return text == "true"
	}
	return text
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
	if values := v.info.Choices; len(values) > 0 {
		if err := (&choice[string]{values: values, set: func(string) {}}).Set(text); err != nil {
			return err
		}
	}
	if v.info.List() {
		v.given = append(v.given, text)
		text = strings.Join(v.given, "\n")
	}
	return v.info.SetText(v.options, text)
}

// Type implements pflag.Value; help texts show it after the flag.
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

// optionsOf returns the options of a server. Fields have the same names in both types.
func optionsOf(s openapi.Server) (options ingest.Options) {
	encoded, _ := json.Marshal(s) // strings, numbers, switches and lists
	_ = json.Unmarshal(encoded, &options)
	options.NormalizeOptions()
	return options
}
