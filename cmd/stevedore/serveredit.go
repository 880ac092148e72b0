package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stevedore/api/client"
	"stevedore/api/openapi"
)

const serverEditLong = `Changes the settings that are given and leaves all others as they are. If
somebody else changed the server meanwhile, nothing is done and it says so.

Lists, such as --include, replace what is there; --include '' empties one. A
suspended server is scanned again when what is changed may have been the reason.`

func (a *app) serverEditCommand() *cobra.Command {
	var f addFlags
	var noPassword, noKey bool
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change a server's settings or credentials", Long: serverEditLong, Args: exactly("server name or uuid"),
		Example: `  stevedore server edit acme --max-parallel 8 --settle 30s
  stevedore server edit acme --password-file acme.pw`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if noPassword && f.passwordFile != "" || noKey && f.keyFile != "" {
				return usageError{errors.New("a credential cannot be set and removed at once")}
			}
			settings, err := a.settings(f, cmd.Flags().Changed)
			if err != nil {
				return err
			}
			none := ""
			if noPassword {
				settings.Password = &none
			}
			if noKey {
				settings.PrivateKey = &none
			}
			if settings == (openapi.ServerSettings{}) {
				return usageError{errors.New("say what to change: `stevedore server edit --help` lists the flags")}
			}
			return a.withAPI("server edit", func(api *client.API) error {
				server, version, err := api.Server(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				edited, err := api.EditServer(cmd.Context(), server.ServerUUID, version, settings)
				if err != nil {
					return err
				}
				return a.printServer(edited)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		// What is not given stays: there are no defaults to show.
		flag.DefValue = map[string]string{"int": "0", "duration": "0s", "bool": "false", "stringArray": "[]"}[flag.Value.Type()]
	})
	cmd.Flags().BoolVar(&noPassword, "no-password", false, "remove the password")
	cmd.Flags().BoolVar(&noKey, "no-private-key", false, "remove the private key")
	return cmd
}

// changes returns the settings whose flags were given.
func (f addFlags) changes(given func(flag string) bool) openapi.ServerSettings {
	transfer, collision := openapi.ServerSettingsTransfer(f.server.Transfer), openapi.ServerSettingsOnCollision(f.server.OnCollision)
	after := string(f.server.AfterIngest)
	settings := openapi.ServerSettings{
		Name: when(given("name"), f.server.Name), Host: when(given("host"), f.server.Host), Port: when(given("port"), f.server.Port),
		Username: when(given("username"), f.server.Username), HostKeys: when(given("host-key"), some(f.server.HostKeys)),
		RootPath: when(given("path"), f.server.RootPath), Include: when(given("include"), some(f.server.Include)),
		Exclude: when(given("exclude"), some(f.server.Exclude)), MaxParallel: when(given("max-parallel"), f.server.MaxParallel),
		Settle: when(given("settle"), text(f.server.Settle)), ScanInterval: when(given("scan-interval"), text(f.server.ScanInterval)),
		Transfer: when(given("transfer"), transfer), AfterIngest: when(given("after-ingest"), after), OnCollision: when(given("on-collision"), collision),
		MinAge: when(given("min-age"), text(f.server.MinAge)), DoneMarker: when(given("done-marker"), f.server.DoneMarker),
		SidecarWait: when(given("sidecar-wait"), text(f.server.SidecarWait)), MaxDepth: when(given("max-depth"), f.server.MaxDepth),
		ReadOnce: when(given("read-once"), f.server.ReadOnce), LegacyAlgorithms: when(given("legacy-algorithms"), f.server.LegacyAlgorithms),
	}
	setOptions(&settings, f.server.Options, given)
	return settings
}

func when[T any](given bool, value T) *T {
	if !given {
		return nil
	}
	return &value
}

func text(d time.Duration) string { return d.String() }

// some leaves out empty texts: the flag's way to say none.
func some(list []string) []string {
	kept := []string{}
	for _, one := range list {
		if one != "" {
			kept = append(kept, one)
		}
	}
	return kept
}

func (a *app) serverRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "rm NAME", Aliases: []string{"remove"}, Short: "Remove a server and its credentials", Args: exactly("server name or uuid"),
		Long: `Removes a server and its credentials. What it delivered stays in the ledger and
in the object store. Refused while files of it are on their way or wait for an
operator: pause it first, and let them end or skip them.

On a terminal it asks before it does so; elsewhere it needs --yes. If somebody
changes the server while it asks, nothing is removed.`,
		Example: "  stevedore server rm acme --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI("server rm", func(api *client.API) error {
				server, version, err := api.Server(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := a.confirm(fmt.Sprintf("remove server %s (%s)", safe(server.Name), address(server)), yes); err != nil {
					return err
				}
				if err := api.RemoveServer(cmd.Context(), server.ServerUUID, version); err != nil {
					return err
				}
				return a.printOne(server, func(w io.Writer) { fmt.Fprintf(w, "server %s is removed\n", safe(server.Name)) })
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
