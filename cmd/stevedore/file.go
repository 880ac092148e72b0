package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) fileCommand() *cobra.Command {
	cmd := group("file", "List and show files; retry, skip, renotify and reprocess them", a.fileListCommand(), a.fileFailuresCommand())
	for _, named := range append(a.fileActionCommands(), a.fileShowCommand()) {
		cmd.AddCommand(a.completeArgs(named, fileUUIDs(actsOn[ingest.Action(named.Name())])))
	}
	return cmd
}

func (a *app) fileListCommand() *cobra.Command {
	var selected selectFlags
	var statuses []openapi.FileStatus
	var limit int
	var watch, newest, left bool
	cmd := &cobra.Command{
		Use: "list", Short: "List files in the order in which they were first seen", Args: none,
		Long: `Lists the files that match all given filters, in the order in which they were
first seen; with --newest, the latest first. On a terminal, columns fit its width
and uuids are short; a pipe gets complete values.

--watch shows files that are in flight or failed, or the given --status, until it
is interrupted: on a terminal a table with progress, attempts and reasons;
elsewhere a line for each change, and a last line for a file that leaves the list.`,
		Example: `  stevedore file list --server acme --status error
  stevedore file list --path '**/*.csv' --from 24h -o jsonl
  stevedore file list --search invoice --newest --limit 20
  stevedore file list --watch`,
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			selection, err := selected.selection(a.now())
			switch {
			case err != nil:
				return err
			case watch && a.format == formatJSON:
				return errEndlessArray
			}
			params := openapi.ListFilesParams{
				Server: selection.Server, Path: selection.Path, Search: selection.Search, ErrorKind: selection.ErrorKind, Step: selection.Step,
				From: selection.From, To: selection.To, Hash: selection.Hash, Left: given(left), Status: givenList(statuses),
			}
			if newest {
				params.Order = given(openapi.FileOrder(ingest.OrderNewest))
			}
			if watch {
				return a.watchFiles(ctx, api, params, limit)
			}
			return printAll(a, api.ListFiles(ctx, params, limit), "no files match: `stevedore scan --wait` looks for new files", a.fileCells)
		}),
	}
	flags := cmd.Flags()
	addChoice(cmd, flags, "status", "", "only files in this `STATUS`; may be repeated or separated by commas", &choice[openapi.FileStatus]{
		values: fileStatuses(func(ingest.Status) bool { return true }), list: true, set: func(s openapi.FileStatus) { statuses = append(statuses, s) },
	})
	selected.register(a, cmd)
	flags.BoolVar(&left, "left", false, "only ingested files whose source could not be deleted or moved")
	flags.BoolVar(&newest, "newest", false, "the latest first")
	flags.BoolVar(&watch, "watch", false, "show changes until interrupted")
	addLimit(cmd, &limit, "files", 0)
	return cmd
}

var errEndlessArray = usageErrorf("--watch is endless and a JSON array is not: use -o jsonl")

// fileStatuses returns the statuses that the function selects.
func fileStatuses(selects func(ingest.Status) bool) (statuses []openapi.FileStatus) {
	for _, status := range ingest.Statuses {
		if selects(status) {
			statuses = append(statuses, openapi.FileStatus(status))
		}
	}
	return statuses
}

// fileCells returns the cells of a file in a list; the last one is the reason.
func (a *app) fileCells(f openapi.File) []cell {
	return []cell{
		{"UUID", f.FileUUID}, {"SERVER", safe(ingest.ServerLabel(f.Server, f.ServerRemoved))}, {"PATH", safe(f.RemotePath)}, {"SIZE", size(f.SizeBytes)}, {"STATUS", string(f.Status)},
		{"UPDATED", a.when(f.UpdatedAt)}, {"REASON", a.reason(f, nil)},
	}
}

func (a *app) fileFailuresCommand() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use: "failures", Short: "Group failed files by server, kind of error and step", Args: none,
		Long: `Groups failed files by server, kind of error and step, the largest group first,
with the latest failure as an example. Below the table, in the same order, are the
commands that retry the groups. Each counts the files and asks first.`,
		Example: "  stevedore file failures\n  stevedore file failures --server acme",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			failures, err := api.ListFailures(ctx, &openapi.ListFailuresParams{Server: given(server)})
			if err != nil {
				return err
			}
			rows := a.newList()
			for _, g := range failures.Groups {
				if err := rows.add(g, a.failureCells(g)...); err != nil {
					return err
				}
			}
			rows.table.text("")
			for _, g := range failures.Groups {
				rows.table.text("%s", groupCommand(g))
			}
			rows.table.text("To list a group, use `stevedore file list --status error` with the same filters.")
			if failures.More {
				a.note("there are more groups: select a server with --server")
			}
			return rows.end("no files have failed")
		}),
	}
	a.addServer(cmd, &server, "files")
	return cmd
}

func (a *app) failureCells(g openapi.FailureGroup) []cell {
	return []cell{
		{"FILES", fmt.Sprint(g.Count)}, {"SERVER", safe(g.Server)}, {"KIND", dash(g.ErrorKind)}, {"STEP", dash(g.Step)}, {"SINCE", a.when(g.Since)},
		{"UUID", g.FileUUID}, {"EXAMPLE", dash(a.cause(g.Server, g.Message))},
	}
}

// groupCommand returns the command that retries a group. A group without kind or step
// cannot be selected: its command shows the example.
func groupCommand(g openapi.FailureGroup) string {
	if g.ErrorKind == "" || g.Step == "" {
		return "stevedore file show " + g.FileUUID
	}
	server := g.Server
	if !ingest.ValidName(server) {
		server = g.ServerUUID
	}
	return fmt.Sprintf("stevedore file retry --server %s --error-kind %s --error-step %s", server, safe(g.ErrorKind), safe(g.Step))
}
