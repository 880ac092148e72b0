package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) fileFailuresCommand() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use: "failures", Short: "Group failed files by server, kind of error and step", Args: none,
		Long: `Groups failed files by server, kind of error and step, the largest group first,
with the latest failure as an example. Below the table, in the same order, are the
commands that retry the groups. Each counts the files and asks first.`,
		Example: "  stevedore file failures\n  stevedore file failures --server acme",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			failures, err := api.Failures(ctx, server)
			if err != nil {
				return err
			}
			rows := a.newList("FILES", "SERVER", "KIND", "STEP", "SINCE", "UUID", "EXAMPLE")
			for _, g := range failures.Groups {
				err := rows.add(g, fmt.Sprint(g.Count), safe(g.Server), dash(g.ErrorKind), dash(g.Step), a.when(g.Since), g.FileUUID, dash(g.Message))
				if err != nil {
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
