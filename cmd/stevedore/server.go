package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

func (a *app) serverCommand() *cobra.Command {
	return group("server", "Add, list, show, test, edit, pause, resume and remove SFTP servers",
		a.serverAddCommand(), a.serverListCommand(), a.completeServer(a.serverShowCommand()), a.completeServer(a.serverTestCommand()),
		a.completeServer(a.serverSwitchCommand("pause", "Stop scanning a server; files already found go on", operations.PauseServer)),
		a.completeServer(a.serverSwitchCommand("resume", "Scan a paused or suspended server again", operations.ResumeServer)),
		a.completeServer(a.serverChangesCommand()), a.completeServer(a.serverEditCommand()), a.completeServer(a.serverRemoveCommand()),
	)
}

func (a *app) serverListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all servers", Args: none,
		Example: "  stevedore server list\n  stevedore server list -o jsonl | jq -r 'select(.state != \"ok\") | .name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with("server list", func(ops operations) error {
				servers, err := ops.ListServers(cmd.Context())
				if err != nil {
					return err
				}
				rows := a.newList("NAME", "ADDRESS", "STATE", "LAST SCAN", "LAST ERROR", "UUID")
				for _, s := range servers {
					err := rows.add(oas.FromServer(s), safe(s.Name), address(s), state(s), clock(s.LastScanAt), dash(s.LastError), s.UUID)
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
			return a.with("server show", func(ops operations) error {
				server, err := ops.ShowServer(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printServer(server)
			})
		},
	}
}

func (a *app) serverSwitchCommand(name, short string, change func(operations, context.Context, string) (ingest.Server, error)) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short, Args: exactly("server name or uuid"),
		Example: "  stevedore server " + name + " acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with("server "+name, func(ops operations) error {
				server, err := change(ops, cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printOne(oas.FromServer(server), func(w io.Writer) {
					fmt.Fprintf(w, "server %s is %s\n", safe(server.Name), state(server))
				})
			})
		},
	}
}

func (a *app) printServer(s ingest.Server) error {
	return a.printOne(oas.FromServer(s), func(w io.Writer) {
		row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
		row("name", safe(s.Name))
		row("uuid", s.UUID)
		row("address", address(s))
		row("username", safe(s.Username))
		row("credentials", credentials(s))
		for _, line := range s.HostKeys {
			row("host key", admin.Fingerprint(line)+"  "+safe(line))
		}
		if len(s.HostKeys) == 0 {
			row("host key", "none pinned: run `stevedore server test "+s.Name+"`")
		}
		row("path", safe(s.RootPath))
		row("include", dash(strings.Join(s.Include, " ")))
		row("exclude", dash(strings.Join(s.Exclude, " ")))
		row("max parallel", fmt.Sprint(s.MaxParallel))
		row("settle", s.Settle.String())
		row("scan interval", s.ScanInterval.String())
		row("transfer", safe(string(s.Transfer)))
		row("after ingest", safe(string(s.AfterIngest)))
		row("on collision", safe(string(s.OnCollision)))
		row("min age", s.MinAge.String())
		row("done marker", dash(s.DoneMarker))
		row("sidecar wait", s.SidecarWait.String())
		row("max depth", fmt.Sprint(s.MaxDepth))
		row("read once", yesNo(s.ReadOnce))
		row("legacy algorithms", yesNo(s.LegacyAlgorithms))
		for _, info := range ingest.OptionTable {
			if info.IsSet(s.Options) {
				row(strings.ReplaceAll(info.Flag(), "-", " "), dash(strings.ReplaceAll(info.Text(s.Options), "\n", " ")))
			}
		}
		row("state", state(s))
		row("last scan", clock(s.LastScanAt))
		row("last error", dash(s.LastError))
		printUnread(row, s.Unread)
		for _, line := range left(s.Left, time.Now()) {
			row(line[0], line[1])
		}
		if s.Attention.HeldReason != "" {
			row("held changes", safe(s.Attention.HeldReason)+": run `stevedore server changes "+s.Name+"`")
		}
		if s.Attention.Resent > 0 {
			row("there again", fmt.Sprintf("%d files are on the server again, the same as before, after they were deleted or moved", s.Attention.Resent))
		}
		if s.Attention.PutOff != "" {
			row("put off", safe(s.Attention.PutOff))
		}
		if s.Attention.Note != "" {
			row("last scan saw", safe(s.Attention.Note))
		}
		row("added", clock(s.CreatedAt))
	})
}

// printUnread prints the folders that the last scan could not read.
func printUnread(row func(name, value string), unread ingest.Unread) {
	for _, f := range unread.Folders {
		row("not read", safe(f.Path+" "+f.Reason))
	}
	if more := unread.Count - int64(len(unread.Folders)); more > 0 {
		row("not read", fmt.Sprintf("and %d more folders", more))
	}
}

// left says what is on the server and nobody takes away.
func left(l ingest.ServerLeft, now time.Time) (rows [][2]string) {
	if l.Sources > 0 {
		rows = append(rows, [2]string{"sources left", fmt.Sprintf("%d taken files are still there: `stevedore file list --left` says why", l.Sources)})
	}
	if l.InProgress > 0 {
		rows = append(rows, [2]string{"in progress", fmt.Sprintf("%d names of files in progress are not taken", l.InProgress)})
	}
	if l.Alone > 0 {
		rows = append(rows, [2]string{"without a file", fmt.Sprintf("%d done-markers and checksum files are not taken", l.Alone)})
	}
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

func address(s ingest.Server) string { return safe(fmt.Sprintf("%s:%d", s.Host, s.Port)) }

// state is one word: the operator's switch wins over what scans found out.
func state(s ingest.Server) string {
	if !s.Active {
		return "paused"
	}
	return string(s.State)
}

func credentials(s ingest.Server) string {
	var has []string
	if len(s.PasswordEncrypted) > 0 {
		has = append(has, "password")
	}
	if len(s.PrivateKeyEncrypted) > 0 {
		has = append(has, "private key")
	}
	return dash(strings.Join(has, ", "))
}
