package main

import (
	"context"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) fileCommand() *cobra.Command {
	cmd := group("file", "List and show files; retry, skip, renotify and reprocess them", a.fileListCommand(), a.fileFailuresCommand())
	for _, named := range append(a.fileActionCommands(), a.fileShowCommand()) {
		cmd.AddCommand(a.completeArgs(named, fileUUIDs))
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
			case limit < 0:
				return usageErrorf("--limit %d: use 1 or more, or 0 for all", limit)
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
			return printAll(a.newList("UUID", "SERVER", "PATH", "SIZE", "STATUS", "UPDATED", "ERROR"), api.Files(ctx, params, limit),
				"no files match: `stevedore scan --wait` looks for new files", a.fileCells)
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
	flags.IntVar(&limit, "limit", 0, "at most `N` files; 0 is all")
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

// fileCells returns the cells of a file in a list; the last one is the error.
func (a *app) fileCells(f openapi.File) []string {
	failure := value(f.ErrorMessage)
	if f.SourceLeft != nil {
		failure = "source left: " + *f.SourceLeft
	}
	return []string{f.FileUUID, safe(f.Server), safe(f.RemotePath), size(f.SizeBytes), string(f.Status), a.when(f.UpdatedAt), dash(failure)}
}
