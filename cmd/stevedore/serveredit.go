package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
)

func (a *app) serverAddCommand() *cobra.Command {
	var test bool
	cmd := &cobra.Command{
		Use: "add", Short: "Add a server", Args: none,
		Long: `Adds a server and prints its uuid. Passwords and keys are read from files, or
with '-' from stdin, and are stored encrypted.

stevedore does not log in to a server without a pinned host key: set --host-key,
or run 'stevedore server test NAME' and approve the presented key.

--test only tests the settings as 'stevedore server test --list' does: it logs in
and lists the files that the patterns include. Nothing is saved.`,
		Example: "  stevedore server add --name acme --host sftp.acme.example --username in --password-file acme.pw --path /outbox",
	}
	flags := newSettingFlags(cmd)
	cmd.RunE = a.calling(func(ctx context.Context, api *client.API, _ []string) error {
		settings, err := flags.given(a.stdin)
		if err != nil {
			return err
		}
		if test {
			draft := openapi.Server{Name: cmp.Or(value(settings.Name), "draft"), RootPath: cmp.Or(value(settings.RootPath), "/")}
			result, err := api.TestSettings(ctx, settings, true)
			return a.showTest(draft, result, err)
		}
		server, err := api.AddServer(ctx, settings)
		if err != nil {
			return err
		}
		if len(server.HostKeys) == 0 {
			a.note("no host key is pinned yet: run `stevedore server test %s`", server.Name)
		}
		return a.showText(server, "%s", server.ServerUUID)
	})
	cmd.Flags().BoolVar(&test, "test", false, "test the settings and list the included files, without saving anything")
	return cmd
}

func (a *app) serverEditCommand() *cobra.Command {
	var noPassword, noKey bool
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change the settings or credentials of a server",
		Long: `Changes the given settings and keeps all others. Fails without a change when
the server was changed by someone else in the meantime.

Lists, such as --include, are replaced; --include '' empties the list. A suspended
server is scanned again when the changed settings may be the cause.`,
		Example: `  stevedore server edit acme --max-parallel 8 --settle 30s
  stevedore server edit acme --password-file acme.pw`,
	}
	flags := newSettingFlags(cmd)
	flags.hideDefaults()
	cmd.Flags().BoolVar(&noPassword, "no-password", false, "remove the password")
	cmd.Flags().BoolVar(&noKey, "no-private-key", false, "remove the private key")
	cmd.RunE = a.calling(func(ctx context.Context, api *client.API, args []string) error {
		var remove []string
		if noPassword {
			remove = append(remove, "password")
		}
		if noKey {
			remove = append(remove, "private_key")
		}
		settings, err := flags.given(a.stdin, remove...)
		if err != nil {
			return err
		}
		if settings == (openapi.ServerSettings{}) {
			return usageErrorf("no change given: `stevedore server edit --help` lists the flags")
		}
		server, version, err := api.Server(ctx, args[0])
		if err != nil {
			return err
		}
		edited, err := api.EditServer(ctx, server.ServerUUID, version, settings)
		if err != nil {
			return err
		}
		return a.showServer(edited)
	})
	return cmd
}

func (a *app) serverRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "rm NAME", Aliases: []string{"remove"}, Short: "Remove a server and its credentials",
		Long: `Removes a server and its credentials. Its files stay in the ledger and in the
object store. Fails while files of the server are in flight or failed: pause the
server, then let them end or skip them.

On a terminal the command asks first; elsewhere it requires --yes. It fails when
the server is changed while it asks.`,
		Example: "  stevedore server rm acme --yes",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			server, version, err := api.Server(ctx, args[0])
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "remove server %s (%s)", safe(server.Name), address(server)); err != nil {
				return err
			}
			if err := api.RemoveServer(ctx, server.ServerUUID, version); err != nil {
				return err
			}
			return a.showText(server, "server %s is removed", safe(server.Name))
		}),
	}
	addYes(cmd, &yes)
	return cmd
}
