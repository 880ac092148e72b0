package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) fileCommand() *cobra.Command {
	commands := append([]*cobra.Command{a.fileListCommand(), a.fileShowCommand()}, a.decideCommands()...)
	return group("file", "List files, show what happened to them, decide on those in error", commands...)
}

func (a *app) fileListCommand() *cobra.Command {
	var selected selectFlags
	var statuses []string
	var limit int
	var watch, newest, left bool
	cmd := &cobra.Command{
		Use: "list", Short: "List files, in order of first sight or the latest first", Args: none,
		Long: `Lists the files that all given filters select, in order of first sight, or
with --newest the other way round.

With --watch it goes on until it is stopped, and shows files under way or in
error unless --status says otherwise: on a terminal the list again and again,
with how far each is, its attempt and why it waits; elsewhere a line for each
change and a last one for a file that leaves the list.`,
		Example: `  stevedore file list --server acme --status error
  stevedore file list --path '**/*.csv' --from 24h -o jsonl
  stevedore file list --newest --limit 20
  stevedore file list --watch`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selection, err := selected.read(time.Now())
			if err != nil {
				return err
			}
			params := openapi.ListFilesParams{
				Server: selection.Server, Path: selection.Path, From: selection.From, To: selection.To, Hash: selection.Hash, Left: given(left),
			}
			if params.Status, err = parseStatuses(statuses); err != nil {
				return err
			}
			if newest {
				params.Order = given(openapi.FileOrder(ingest.OrderNewest))
			}
			switch {
			case limit < 0:
				return usageError{fmt.Errorf("--limit %d: use 1 or more, or 0 for all", limit)}
			case watch && a.format == formatJSON:
				return usageError{errNoEnd}
			}
			if watch {
				return a.withAPI("file list", func(api *client.API) error { return a.watchFiles(cmd.Context(), api, params, limit) })
			}
			return a.withAPI("file list", func(api *client.API) error {
				rows := a.newFileList()
				err := api.EachFile(cmd.Context(), params, limit, func(f openapi.File) error { return rows.add(f, fileCells(f)...) })
				if err != nil {
					return err
				}
				return rows.end("no such files: `stevedore scan --wait` looks for new ones")
			})
		},
	}
	cmd.Flags().StringArrayVar(&statuses, "status", nil, "only files in this `STATUS`; may be repeated or separated by commas")
	complete(cmd, "status", statusNames()...)
	selected.register(a, cmd, "from", "to")
	cmd.Flags().BoolVar(&left, "left", false, "only files whose source should have been deleted or moved and is still there")
	cmd.Flags().BoolVar(&newest, "newest", false, "the latest first")
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing what changes")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many files; 0 is all")
	return cmd
}

// errNoEnd says why a JSON array cannot be watched.
var errNoEnd = errors.New("--watch has no end, and a JSON array needs one: use -o jsonl")

func (a *app) newFileList() *list {
	return a.newList("UUID", "SERVER", "PATH", "SIZE", "STATUS", "UPDATED", "ERROR")
}

func fileCells(f openapi.File) []string {
	wrong := value(f.ErrorMessage)
	if f.SourceLeft != nil {
		wrong = "source left: " + *f.SourceLeft
	}
	return []string{
		f.FileUUID, safe(f.Server), safe(f.RemotePath), size(f.SizeBytes), string(f.Status), clock(f.UpdatedAt), dash(wrong),
	}
}

// parseStatuses returns nil when no status is given.
func parseStatuses(texts []string) (*[]openapi.FileStatus, error) {
	var statuses []openapi.FileStatus
	for _, text := range texts {
		for name := range strings.SplitSeq(text, ",") {
			status, err := ingest.ParseStatus(strings.TrimSpace(name))
			if err != nil {
				return nil, usageError{fmt.Errorf("--status: %w", err)}
			}
			statuses = append(statuses, openapi.FileStatus(status))
		}
	}
	if len(statuses) == 0 {
		return nil, nil //nolint:nilnil // no filter
	}
	return &statuses, nil
}
