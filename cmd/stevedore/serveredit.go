package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) serverAddCommand() *cobra.Command {
	var test bool
	cmd := &cobra.Command{
		Use: "add", Short: "Add a server", Args: none,
		Long: `Adds a server and prints its uuid. Passwords and keys are read from files, or
with '-' from stdin, and are stored encrypted.

stevedore does not log in to a server without a pinned host key: set --host-key,
or run 'stevedore server test NAME' and pin the presented key.

--test only tests the settings as 'stevedore server test --list' does: it logs in
and lists the files that the patterns include. Nothing is saved.

Globs match the whole path below the folder, in the same case. '*' and '?' match
within a folder, '**' across folders, [a-z] a character, {csv,txt} alternatives:
'*.csv' matches only in the folder itself, '**/*.csv' also in subfolders.`,
		Example: "  stevedore server add --name acme --host sftp.acme.example --username in \\\n    --password-file acme.pw --path /outbox",
	}
	flags := newSettingFlags(cmd)
	cmd.RunE = a.calling(func(ctx context.Context, api *client.API, _ []string) error {
		settings, err := flags.given(a.stdin)
		if err != nil {
			return err
		}
		if test {
			draft := openapi.Server{Name: cmp.Or(value(settings.Name), "draft"), RootPath: cmp.Or(value(settings.RootPath), "/")}
			result, err := api.TestServerSettings(ctx, &openapi.TestServerSettingsParams{Sample: given(true)}, settings)
			return a.showTest(draft, result, err)
		}
		server, err := api.CreateServer(ctx, settings)
		if err != nil {
			return err
		}
		if len(server.HostKeys) == 0 {
			a.note("no host key is pinned yet: run `stevedore server test %s`", server.Name)
		}
		return a.showText(server, "%s", server.ServerUUID)
	})
	addTest(cmd, &test)
	return cmd
}

func addTest(cmd *cobra.Command, test *bool) {
	cmd.Flags().BoolVar(test, "test", false, "test the settings and list the included files, without saving anything")
}

func (a *app) serverEditCommand() *cobra.Command {
	var noPassword, noKey, test bool
	cmd := &cobra.Command{
		Use: "edit NAME", Short: "Change the settings or credentials of a server",
		Long: `Changes the given settings and keeps all others. Fails without a change when
the server was changed by someone else in the meantime.

Lists, such as --include, are replaced; --include '' empties the list. A suspended
server is scanned again when the changed settings may be the cause.

--test only tests the server with the changes, as 'stevedore server test --list'
does. Nothing is saved.`,
		Example: `  stevedore server edit acme --max-parallel 8 --settle 30s
  stevedore server edit acme --password-file acme.pw`,
	}
	flags := newSettingFlags(cmd)
	flags.hideDefaults()
	cmd.Flags().BoolVar(&noPassword, "no-password", false, "remove the password")
	cmd.Flags().BoolVar(&noKey, "no-private-key", false, "remove the private key")
	addTest(cmd, &test)
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
		if test {
			result, err := api.TestServerEdit(ctx, server.ServerUUID, &openapi.TestServerEditParams{IfMatch: &version, Sample: given(true)}, settings)
			server.RootPath = cmp.Or(value(settings.RootPath), server.RootPath)
			return a.showTest(server, result, err)
		}
		edited, err := api.EditServer(ctx, server.ServerUUID, &openapi.EditServerParams{IfMatch: &version}, settings)
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
object store. Fails while files of the server are unfinished: pause the server, so
that the files that have not started are skipped; let those in flight end, and
retry or skip the failed ones. A server without such files need not be paused.

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
			if _, err := api.RemoveServer(ctx, server.ServerUUID, &openapi.RemoveServerParams{IfMatch: &version}); err != nil {
				return err
			}
			return a.showText(server, "server %s is removed", safe(server.Name))
		}),
	}
	addYes(cmd, &yes)
	return cmd
}

// changesResult is the held changes of a server, or the result of an action, as JSON.
type changesResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	// Files is the number of files that are held, or that the action resolved.
	Files    int64                  `json:"files"`
	Held     string                 `json:"held"`
	Decision ingest.ChangesDecision `json:"decision"`
}

func (a *app) serverChangesCommand() *cobra.Command {
	var take, same bool
	var part, reason string
	cmd := &cobra.Command{
		Use: "changes NAME", Short: "Show or resolve held changes: known files with a new time or path",
		Long: `Shows the known files of a server that are held, because many of them look new
in one listing and only their times differ: a change to summer time, a restored
backup, a copied folder. Files whose times shifted by the same amount are one
part.
New files with the name, size and time of an ingested file that is gone are held
as the part "moved".

--take ingests them as new versions. --same keeps them as the versions that were
ingested before, and records the new times or paths; nothing is notified. With
several parts, --part selects one: the amount, such as 1h or -1h, "others" for
files that shifted by rare amounts, "moved", or "all". The settings hold-changes
and moved control what is held.`,
		Example: "  stevedore server changes acme\n  stevedore server changes acme --same --reason 'summer time'",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			decision := map[bool]ingest.ChangesDecision{take: ingest.ChangesTake, same: ingest.ChangesSame}[true]
			switch {
			case take && same:
				return usageErrorf("--take and --same exclude each other")
			case decision != "" && reason == "":
				return usageErrorf("--reason is missing: the history of the files records it")
			}
			server, _, err := api.Server(ctx, args[0])
			if err != nil {
				return err
			}
			result := changesResult{
				Server: server.Name, ServerUUID: server.ServerUUID, Files: server.HeldChanges, Held: value(server.HeldReason), Decision: decision,
			}
			if decision != "" {
				request := openapi.ChangesDecision{Decision: openapi.ChangesDecisionDecision(decision), Part: given(part), Reason: reason}
				decided, err := api.DecideChanges(ctx, server.ServerUUID, request)
				if err != nil {
					return err
				}
				result.Files = decided.Files
			}
			return a.showText(result, "%s", result)
		}),
	}
	cmd.Flags().BoolVar(&take, "take", false, "ingest them as new versions")
	cmd.Flags().BoolVar(&same, "same", false, "keep them as the versions that were ingested before")
	cmd.Flags().StringVar(&part, "part", "", "only this `PART`: an amount such as 1h, others, moved, or all")
	addReason(cmd, &reason)
	return cmd
}

// String returns the result as text.
func (r changesResult) String() string {
	files := ingest.Counted(r.Files, "file", "files") + " of " + safe(r.Server)
	switch {
	case r.Decision == ingest.ChangesTake:
		return files + " will be ingested as new versions"
	case r.Decision == ingest.ChangesSame:
		return files + " kept as versions that were ingested before"
	case r.Files == 0:
		return "no changes of " + safe(r.Server) + " are held"
	}
	return safe(r.Held) + "\nresolve with --take or --same and --reason WHY"
}
