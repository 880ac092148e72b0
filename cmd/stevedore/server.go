package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) serverCommand() *cobra.Command {
	return group("server", "Add, list, show, test, edit, pause, resume and remove SFTP servers",
		a.serverAddCommand(), a.serverListCommand(), a.completeServer(a.serverShowCommand()), a.completeServer(a.serverTestCommand()),
		a.completeServer(a.serverSwitchCommand("pause", "Stop scanning a server; files already found go on", (*client.API).PauseServer)),
		a.completeServer(a.serverSwitchCommand("resume", "Scan a paused or suspended server again", (*client.API).ResumeServer)),
		a.completeServer(a.serverChangesCommand()), a.completeServer(a.serverEditCommand()), a.completeServer(a.serverRemoveCommand()),
	)
}

func (a *app) serverListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all servers", Args: none,
		Example: "  stevedore server list\n  stevedore server list -o jsonl | jq -r 'select(.state != \"ok\") | .name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAPI("server list", func(api *client.API) error {
				servers, err := api.ListServers(cmd.Context())
				if err != nil {
					return err
				}
				rows := a.newList("NAME", "ADDRESS", "STATE", "LAST SCAN", "LAST ERROR", "UUID")
				for _, s := range servers {
					err := rows.add(s, safe(s.Name), address(s), state(s), clock(value(s.LastScanAt)), dash(value(s.LastError)), s.ServerUUID)
					if err != nil {
						return err
					}
				}
				return rows.end("no servers yet: add one with `stevedore server add`")
			})
		},
	}
}

func (a *app) serverShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a server's settings and state", Args: exactly("server name or uuid"),
		Example: "  stevedore server show acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI("server show", func(api *client.API) error {
				server, _, err := api.Server(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printServer(server)
			})
		},
	}
}

func (a *app) serverSwitchCommand(name, short string, change func(*client.API, context.Context, string) (openapi.Server, error)) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short, Args: exactly("server name or uuid"),
		Example: "  stevedore server " + name + " acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI("server "+name, func(api *client.API) error {
				server, err := change(api, cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printOne(server, func(w io.Writer) {
					fmt.Fprintf(w, "server %s is %s\n", safe(server.Name), state(server))
				})
			})
		},
	}
}

func (a *app) printServer(s openapi.Server) error {
	return a.printOne(s, func(w io.Writer) {
		row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
		row("name", safe(s.Name))
		row("uuid", s.ServerUUID)
		row("address", address(s))
		row("username", safe(s.Username))
		row("credentials", credentials(s))
		for _, key := range s.HostKeys {
			row("host key", key.Fingerprint+"  "+safe(key.Key))
		}
		if len(s.HostKeys) == 0 {
			row("host key", "none pinned: run `stevedore server test "+s.Name+"`")
		}
		row("path", safe(s.RootPath))
		row("include", dash(strings.Join(s.Include, " ")))
		row("exclude", dash(strings.Join(s.Exclude, " ")))
		row("max parallel", fmt.Sprint(s.MaxParallel))
		row("settle", s.Settle)
		row("scan interval", s.ScanInterval)
		row("transfer", safe(s.Transfer))
		row("after ingest", safe(s.AfterIngest))
		row("on collision", safe(s.OnCollision))
		row("min age", s.MinAge)
		row("done marker", dash(s.DoneMarker))
		row("sidecar wait", s.SidecarWait)
		row("max depth", fmt.Sprint(s.MaxDepth))
		row("read once", yesNo(s.ReadOnce))
		row("legacy algorithms", yesNo(s.LegacyAlgorithms))
		for _, info := range ingest.OptionTable {
			if options := optionsOf(s); info.IsSet(options) {
				row(strings.ReplaceAll(info.Flag(), "-", " "), dash(strings.ReplaceAll(info.Text(options), "\n", " ")))
			}
		}
		row("state", state(s))
		row("last scan", clock(value(s.LastScanAt)))
		row("last error", dash(value(s.LastError)))
		printUnread(row, s)
		for _, line := range left(s, time.Now()) {
			row(line[0], line[1])
		}
		if s.HeldReason != nil {
			row("held changes", safe(*s.HeldReason)+": run `stevedore server changes "+s.Name+"`")
		}
		if s.ResentFiles > 0 {
			row("there again", ingest.Counted(s.ResentFiles, "file is", "files are")+" on the server again, the same as before, after being deleted or moved")
		}
		if s.PutOff != nil {
			row("put off", safe(*s.PutOff))
		}
		if s.LastScanNote != nil {
			row("last scan saw", safe(*s.LastScanNote))
		}
		row("added", clock(s.CreatedAt))
	})
}

// printUnread prints the folders that the last scan could not read.
func printUnread(row func(name, value string), s openapi.Server) {
	for _, f := range s.Unreadable {
		row("not read", safe(f.Path+" "+f.Reason))
	}
	if more := s.UnreadableFolders - int64(len(s.Unreadable)); more > 0 {
		row("not read", "and "+ingest.Counted(more, "more folder", "more folders"))
	}
}

// left says what is on the server and nobody takes away.
func left(s openapi.Server, now time.Time) (rows [][2]string) {
	if s.SourcesLeft > 0 {
		rows = append(rows, [2]string{"sources left", fmt.Sprintf("%d taken files are still there: `stevedore file list --left` says why", s.SourcesLeft)})
	}
	if s.InProgress > 0 {
		rows = append(rows, [2]string{"in progress", fmt.Sprintf("%d names of files in progress are not taken", s.InProgress)})
	}
	if s.Alone > 0 {
		rows = append(rows, [2]string{"without a file", fmt.Sprintf("%d done-markers and checksum files are not taken", s.Alone)})
	}
	l := ingest.ServerLeft{Oldest: value(s.OldestAside), OldestSince: value(s.OldestAsideSince)}
	if l.Stale(now) {
		rows = append(rows, [2]string{"not taken", fmt.Sprintf("%s is there since %s: change --in-progress-names if it is a delivery", safe(l.Oldest), clock(l.OldestSince))})
	}
	return rows
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func address(s openapi.Server) string { return safe(fmt.Sprintf("%s:%d", s.Host, s.Port)) }

// state is one word: the operator's switch wins over what scans found out.
func state(s openapi.Server) string {
	if !s.IsActive {
		return "paused"
	}
	return s.State
}

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
