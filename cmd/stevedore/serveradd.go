package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/keyfile"
)

// maxSecret bounds what is read as a password or key.
const maxSecret = 64 << 10

const serverAddLong = `Adds a server and prints its uuid. Passwords and keys come from files, or with
'-' from stdin; they are stored encrypted.

A server without a pinned host key is never logged in to: give --host-key, or
run 'stevedore server test NAME' and approve the key that it shows.`

// addFlags are the flags of server add.
type addFlags struct {
	server                ingest.Server
	passwordFile, keyFile string
	// passphraseFile and certificateFile belong to the private key.
	passphraseFile, certificateFile string
}

func (a *app) serverAddCommand() *cobra.Command {
	var f addFlags
	cmd := &cobra.Command{
		Use: "add", Short: "Add a server", Long: serverAddLong, Args: none,
		Example: "  stevedore server add --name acme --host sftp.acme.example --username in --password-file acme.pw --path /outbox",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := a.settings(f, cmd.Flags().Changed)
			if err != nil {
				return err
			}
			return a.withAPI("server add", func(api *client.API) error {
				server, err := api.AddServer(cmd.Context(), settings)
				if err != nil {
					return err
				}
				if len(server.HostKeys) == 0 {
					a.note("no host key is pinned yet: run `stevedore server test %s`", server.Name)
				}
				return a.printOne(server, func(w io.Writer) { fmt.Fprintln(w, server.ServerUUID) })
			})
		},
	}
	f.register(cmd)
	return cmd
}

func (f *addFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.server.Name, "name", "", "unique `NAME`: letters, digits, '-', '_', '.'")
	flags.StringVar(&f.server.Host, "host", "", "DNS name or IP `ADDRESS`")
	flags.IntVar(&f.server.Port, "port", 22, "`PORT`")
	flags.StringVar(&f.server.Username, "username", "", "`USER` to log in as")
	flags.StringVar(&f.passwordFile, "password-file", "", "`FILE` with the password; '-' is stdin")
	flags.StringVar(&f.keyFile, "private-key-file", "", "`FILE` with a private key in OpenSSH, PEM or PuTTY form; '-' is stdin")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "`FILE` with the passphrase of the private key, which is stored without it; '-' is stdin")
	flags.StringVar(&f.certificateFile, "certificate-file", "", "`FILE` with the OpenSSH user certificate of the private key (...-cert.pub)")
	flags.StringArrayVar(&f.server.HostKeys, "host-key", nil, "`KEY` of the server, 'ssh-ed25519 AAAA...'; may be repeated")
	flags.StringVar(&f.server.RootPath, "path", "/", "`DIR` to take files from, subfolders included; ~/dir is relative to the home folder")
	flags.StringArrayVar(&f.server.Include, "include", nil, "take only files that match the `GLOB`, e.g. '**/*.csv'; may be repeated")
	flags.StringArrayVar(&f.server.Exclude, "exclude", nil, "leave out files that match the `GLOB`; may be repeated")
	flags.IntVar(&f.server.MaxParallel, "max-parallel", 4, "files in flight at most, 1 to 256")
	flags.DurationVar(&f.server.Settle, "settle", 0, "how long a file must stay unchanged")
	flags.DurationVar(&f.server.ScanInterval, "scan-interval", 0, "least time between scheduled scans")
	flags.StringVar((*string)(&f.server.Transfer), "transfer", string(ingest.TransferAuto),
		"transfer mode: auto (by file size), staged (on the worker's disk first) or direct (streamed into the object store)")
	complete(cmd, "transfer", string(ingest.TransferAuto), string(ingest.TransferStaged), string(ingest.TransferDirect))
	flags.StringVar((*string)(&f.server.AfterIngest), "after-ingest", string(ingest.AfterKeep), "what to do with the source: keep, delete or move:/dir")
	flags.StringVar((*string)(&f.server.OnCollision), "on-collision", string(ingest.CollisionRename), "when the name is taken where a file is moved: rename, overwrite or keep the source")
	flags.DurationVar(&f.server.MinAge, "min-age", 0, "how old a file must be before it is taken")
	flags.StringVar(&f.server.DoneMarker, "done-marker", "", "take a file only once the file `NAME` is beside it; '*' is the file's name, e.g. '*.done'")
	flags.DurationVar(&f.server.SidecarWait, "sidecar-wait", 0, "how long a settled file waits for its checksum file X.sha256")
	flags.IntVar(&f.server.MaxDepth, "max-depth", ingest.MaxDepth, "folders below --path to go into, 1 to 64")
	flags.BoolVar(&f.server.ReadOnce, "read-once", false, "the server gives a file only once: open it once and do not look afterwards")
	flags.BoolVar(&f.server.LegacyAlgorithms, "legacy-algorithms", false, "also offer SHA-1 algorithms, which servers of old need")
	for _, info := range ingest.OptionTable {
		value := &optionValue{info: info, options: &f.server.Options}
		flag := flags.VarPF(value, info.Flag(), "", optionHelp(info))
		if info.Switch() {
			flag.NoOptDefVal = "true"
		}
		if len(info.Choices) > 0 {
			complete(cmd, info.Flag(), info.Choices...)
		}
	}
	flags.Lookup("settle").DefValue = "STEVEDORE_SETTLE"
	flags.Lookup("scan-interval").DefValue = "STEVEDORE_SCAN_INTERVAL"
}

// settings returns the settings and credentials whose flags were given.
func (a *app) settings(f addFlags, changed func(flag string) bool) (openapi.ServerSettings, error) {
	settings := f.changes(changed)
	if onStdin := f.onStdin(); len(onStdin) > 1 {
		return settings, usageError{fmt.Errorf("%s cannot all be stdin", strings.Join(onStdin, " and "))}
	}
	for _, secret := range []struct {
		flag, path string
		to         **string
		line       bool // a single line, whose line end does not belong to it
	}{
		{"--password-file", f.passwordFile, &settings.Password, true},
		{"--private-key-file", f.keyFile, &settings.PrivateKey, false},
		{"--passphrase-file", f.passphraseFile, &settings.Passphrase, true},
		{"--certificate-file", f.certificateFile, &settings.Certificate, false},
	} {
		content, err := a.readSecret(secret.flag, secret.path)
		if err != nil {
			return settings, err
		}
		content = keyfile.Text(content)
		if secret.line {
			content = trimNewline(content)
		}
		if secret.path != "" && len(content) == 0 {
			return settings, usageError{fmt.Errorf("%s %s is empty", secret.flag, secret.path)}
		}
		*secret.to = given(string(content))
	}
	return settings, nil
}

// onStdin names the flags whose file is stdin.
func (f addFlags) onStdin() (flags []string) {
	for _, file := range []struct{ flag, path string }{
		{"--password-file", f.passwordFile}, {"--private-key-file", f.keyFile}, {"--passphrase-file", f.passphraseFile}, {"--certificate-file", f.certificateFile},
	} {
		if file.path == "-" {
			flags = append(flags, file.flag)
		}
	}
	return flags
}

// readSecret returns nothing for no path, and never quotes what it read.
func (a *app) readSecret(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	from := a.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", flag, err)}
		}
		defer func() { _ = file.Close() }() // only read
		from = file
	}
	secret, err := io.ReadAll(io.LimitReader(from, maxSecret+1))
	switch {
	case err != nil:
		return nil, usageError{fmt.Errorf("%s %s: %w", flag, path, err)}
	case len(secret) == 0:
		return nil, usageError{fmt.Errorf("%s %s is empty", flag, path)}
	case len(secret) > maxSecret:
		return nil, usageError{fmt.Errorf("%s %s is larger than %d bytes: that is no password or key", flag, path, maxSecret)}
	}
	return secret, nil
}

// trimNewline takes the one line end off that editors and echo add.
func trimNewline(secret []byte) []byte {
	secret = bytes.TrimSuffix(secret, []byte("\n"))
	return bytes.TrimSuffix(secret, []byte("\r"))
}
