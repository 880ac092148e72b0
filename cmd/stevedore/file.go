package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/oas"
	"stevedore/internal/ingest"
)

func (a *app) fileCommand() *cobra.Command {
	commands := append([]*cobra.Command{a.fileListCommand(), a.fileShowCommand()}, a.decideCommands()...)
	return group("file", "List files, show what happened to them, decide on those in error", commands...)
}

func (a *app) fileListCommand() *cobra.Command {
	var filter ingest.FileFilter
	var statuses []string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List files in order of first sight", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if filter.Statuses, err = parseStatuses(statuses); err != nil {
				return err
			}
			if limit < 0 {
				return usageError{fmt.Errorf("--limit %d: use 1 or more, or 0 for all", limit)}
			}
			return a.with("file list", func(ops operations) error {
				rows := a.newList("UUID", "SERVER", "PATH", "SIZE", "STATUS", "UPDATED", "ERROR")
				err := ops.EachFile(cmd.Context(), filter, limit, func(f ingest.File) error {
					return rows.add(oas.FromFile(f), f.UUID, safe(f.ServerName), safe(f.RemotePath), size(f.Size),
						string(f.Status), clock(f.UpdatedAt), dash(f.ErrorMessage))
				})
				if err != nil {
					return err
				}
				return rows.end("no such files: `stevedore scan --wait` looks for new ones")
			})
		},
	}
	cmd.Flags().StringArrayVar(&statuses, "status", nil, "only files in this `STATUS`; may be repeated or separated by commas")
	cmd.Flags().StringVar(&filter.Server, "server", "", "only files of the server with this `NAME` or uuid")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many files; 0 is all")
	return cmd
}

func parseStatuses(texts []string) ([]ingest.Status, error) {
	var statuses []ingest.Status
	for _, text := range texts {
		for name := range strings.SplitSeq(text, ",") {
			status, err := ingest.ParseStatus(strings.TrimSpace(name))
			if err != nil {
				return nil, usageError{fmt.Errorf("--status: %w", err)}
			}
			statuses = append(statuses, status)
		}
	}
	return statuses, nil
}
