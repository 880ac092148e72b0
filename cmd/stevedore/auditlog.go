package main

import (
	"context"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
)

func (a *app) auditLogCommand() *cobra.Command {
	return group("audit-log", "Show who requested which change", a.auditLogListCommand())
}

func (a *app) auditLogListCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List requested changes, the latest first", Args: none,
		Long: `Lists the audit log: who requested which change of what, with its details. For
changed settings these are the values before and after. Entries are written before
the change. Requires the role admin.`,
		Example: "  stevedore audit-log list\n  stevedore audit-log list --limit 0 -o jsonl > audit-log.jsonl",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			return printAll(a.newList("TIME", "ACTOR", "ROLE", "ACTION", "TARGET", "DETAILS"), api.AuditLog(ctx, openapi.ListAuditLogParams{}, limit),
				"no changes have been requested yet", func(e openapi.AuditEntry) []string {
					return []string{a.when(e.At), safe(e.Actor), string(e.Role), safe(e.Action), safe(e.Target), dash(auditDetails(e.Details))}
				})
		}),
	}
	addLimit(cmd, &limit, "entries")
	return cmd
}

// auditDetails describes changed settings first, as "port=22 -> 23".
func auditDetails(values map[string]any) string {
	changes, _ := values["changes"].(map[string]any)
	others := maps.Clone(values)
	delete(others, "changes")
	return strings.Join(nonEmpty(details(changes), details(others)), " ")
}
