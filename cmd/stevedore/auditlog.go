package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
)

func (a *app) auditLogCommand() *cobra.Command {
	return group("audit-log", "Show who requested which change", a.auditLogListCommand())
}

func (a *app) auditLogListCommand() *cobra.Command {
	var actor, action, target string
	var between timeRange
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List requested changes, the latest first", Args: none,
		Long: `Lists the audit log: who requested which change of what, its outcome, and for
edits the values before and after. Requires the role admin.

The outcome is done, failed or unknown. Entries are written before the change:
the outcome of a running change, and of one whose process crashed, is unknown.`,
		Example: "  stevedore audit-log list --target acme --action server.edit\n  stevedore audit-log list --actor ann --from 7d\n" +
			"  stevedore audit-log list --limit 0 -o jsonl > audit-log.jsonl",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			from, to, err := between.times(a.now())
			if err != nil {
				return err
			}
			params := openapi.ListAuditLogParams{Actor: given(actor), Action: given(action), Target: given(target), From: from, To: to}
			return printAll(a.newList("TIME", "ACTOR", "ROLE", "ACTION", "TARGET", "OUTCOME", "DETAILS"), api.AuditLog(ctx, params, limit),
				"no entries match", a.auditLogCells)
		}),
	}
	cmd.Flags().StringVar(&actor, "actor", "", "only changes requested by the token with this `NAME`, or by cli:USER")
	cmd.Flags().StringVar(&action, "action", "", "only this `ACTION`, e.g. server.edit")
	cmd.Flags().StringVar(&target, "target", "", "only changes of the server or token with this `NAME`, or of the file, scan or audit with this uuid")
	between.register(cmd, "changes requested")
	a.completeFlag(cmd, "actor", tokenNames)
	a.completeFlag(cmd, "target", serverNames)
	addLimit(cmd, &limit, "entries")
	return cmd
}

// auditLogCells returns the cells of an entry. The last one begins with the error of a
// failed action and the changes of an edit.
func (a *app) auditLogCells(e openapi.AuditEntry) []string {
	others := maps.Clone(e.Details)
	delete(others, "changes")
	described := slices.Concat(nonEmpty(value(e.Error)), e.Changes, nonEmpty(details(others)))
	return []string{
		a.when(e.At), safe(e.Actor), string(e.Role), safe(e.Action), safe(e.Target), string(e.Outcome), dash(strings.Join(described, "; ")),
	}
}
