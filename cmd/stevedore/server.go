package main

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) serverCommand() *cobra.Command {
	cmd := group("server", "Add, list, test, edit, pause and remove SFTP servers", a.serverAddCommand(), a.serverListCommand(), a.serverStatsCommand())
	for _, named := range []*cobra.Command{
		a.serverShowCommand(), a.serverTestCommand(),
		a.serverSwitchCommand("pause", "Stop scanning and starting files; those in flight continue", (*client.API).PauseServer),
		a.serverSwitchCommand("resume", "Scan a paused or suspended server again", (*client.API).ResumeServer),
		a.serverChangesCommand(), a.serverEditCommand(), a.serverRemoveCommand(),
	} {
		named.Args = arguments(1, 1, "server name or uuid")
		cmd.AddCommand(a.completeArgs(named, serverNames))
	}
	return cmd
}

func (a *app) serverListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all servers", Args: none,
		Example: "  stevedore server list\n  stevedore server list -o jsonl | jq -r 'select(.health != \"healthy\") | .name'",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			list, err := api.ListServers(ctx)
			return printAll(a, all(list.Servers, err), "no servers yet: add one with `stevedore server add`", a.serverCells)
		}),
	}
}

func (a *app) serverCells(s openapi.Server) []cell {
	cells := []cell{
		{"NAME", safe(s.Name)}, {"ADDRESS", address(s)}, {"HEALTH", ingest.Health(s.Health).Label()}, {"LAST SCAN", a.when(value(s.LastScanAt))},
		{"LAST ERROR", dash(a.cause(s.Name, value(s.LastError)))}, {"UUID", s.ServerUUID},
	}
	if a.width() > 0 {
		return cells[:5] // without UUID: commands accept the name
	}
	return cells
}

// cause returns the error of a server for a cell. On a terminal it begins with the cause:
// the name and address of the server are in other columns, and the end may be clipped.
func (a *app) cause(server, text string) string {
	if a.width() == 0 {
		return text
	}
	text = withoutServer(server, text)
	if _, after, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(text, "cannot connect to ") {
		return after
	}
	return text
}

// withoutServer returns an error of a server without the name that begins it.
func withoutServer(server, text string) string {
	return strings.TrimLeft(strings.TrimPrefix(text, "server "+server), ": ")
}

func (a *app) serverShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show the settings and the state of a server",
		Example: "  stevedore server show acme",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			server, _, err := api.Server(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showServer(server)
		}),
	}
}

func (a *app) serverSwitchCommand(name, short string, change func(*client.API, context.Context, string) (openapi.Server, error)) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short,
		Example: "  stevedore server " + name + " acme",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			server, err := change(api, ctx, args[0])
			if err != nil {
				return err
			}
			return a.showText(server, "%sd server %s; its health is now: %s", name, safe(server.Name), ingest.Health(server.Health).Label())
		}),
	}
}

func (a *app) showServer(s openapi.Server) error {
	return a.show(s, func(t *table) {
		t.row("name", safe(s.Name))
		t.row("uuid", s.ServerUUID)
		t.row("health", ingest.Health(s.Health).Label())
		t.row("last scan", clock(value(s.LastScanAt)))
		t.prose("last error", cmp.Or(value(s.LastError), "-"))
		rowsOfNotes(t, "note", s.Notes, s.Unreadable)
		t.row("address", address(s))
		t.row("username", safe(s.Username))
		t.row("credentials", credentials(s))
		for _, key := range s.HostKeys {
			t.row("host key", key.Fingerprint+"  "+safe(key.Key))
		}
		settings := settingsOf(s)
		for _, setting := range ingest.Settings {
			if setting.Group != ingest.GroupConnection && (setting.Group != ingest.GroupAdvanced || !setting.IsDefault(settings)) {
				t.row(strings.ReplaceAll(setting.Flag(), "-", " "), dash(strings.ReplaceAll(setting.Text(settings), "\n", " ")))
			}
		}
		t.row("added", clock(s.CreatedAt))
	})
}

// rowsOfNotes adds rows for the notes and the unreadable folders of a server or scan.
func rowsOfNotes(t *table, name string, notes []string, unreadable []openapi.UnreadableFolder) {
	for _, note := range notes {
		t.prose(name, note)
	}
	for _, f := range unreadable {
		t.prose(name, f.Path+" "+f.Reason)
	}
}

func address(s openapi.Server) string { return safe(net.JoinHostPort(s.Host, strconv.Itoa(s.Port))) }

func credentials(s openapi.Server) string {
	var has []string
	if s.HasPassword {
		has = append(has, "password")
	}
	if s.HasPrivateKey {
		has = append(has, "private key")
	}
	return dash(strings.Join(has, ", "))
}
