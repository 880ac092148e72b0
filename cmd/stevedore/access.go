package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Create, list and revoke tokens for the API",
		a.tokenCreateCommand(), a.tokenListCommand(), a.completeArgs(a.tokenRevokeCommand(), tokenNames))
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var in openapi.TokenRequest
	var expires string
	cmd := &cobra.Command{
		Use: "create", Short: "Create a token and print it, once", Args: none,
		Long: `Creates a token for the API and prints it. Only its digest is stored, so it
cannot be printed again.

A viewer reads. An operator also acts on files and scans, and tests and pauses
servers. An admin also changes servers and tokens.`,
		Example: "  stevedore token create --name ci --role operator --expires 30d",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			if in.Name == "" || in.Role == "" {
				return usageErrorf("--name and --role are required: see `stevedore token create --help`")
			}
			now := a.now()
			at, err := parseTime("expires", expires, now, 1)
			if err != nil {
				return err
			}
			if !at.IsZero() {
				seconds := int64((at.Sub(now) + time.Second - 1) / time.Second)
				if seconds <= 0 {
					return usageErrorf("--expires %q is in the past", expires)
				}
				in.ExpiresInSeconds = &seconds
			}
			token, err := api.CreateToken(ctx, in)
			if err != nil {
				return err
			}
			a.note("%s token %s: store it now, it is not shown again", token.Role, token.Name)
			return a.showText(token, "%s", token.Token)
		}),
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "unique `NAME`, which the audit log records")
	addChoice(cmd, cmd.Flags(), "role", "", "`ROLE`: viewer, operator or admin", &choice[openapi.Role]{
		values: []openapi.Role{"viewer", "operator", "admin"}, set: func(role openapi.Role) { in.Role = role },
	})
	cmd.Flags().StringVar(&expires, "expires", "", "`TIME` of expiry: 30d, 12h or 2027-01-31 (default never)")
	return cmd
}

func (a *app) tokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all tokens, without their secrets", Args: none,
		Example: "  stevedore token list",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			list, err := api.ListTokens(ctx)
			return printAll(a, all(list.Tokens, err),
				"no tokens yet: create one with `stevedore token create`; the value of STEVEDORE_TOKEN in the API's configuration is an admin's",
				func(t openapi.Token) []cell {
					return []cell{
						{"NAME", safe(t.Name)}, {"ROLE", string(t.Role)}, {"STATE", string(t.State)}, {"EXPIRES", a.when(value(t.ExpiresAt))},
						{"LAST USED", a.when(value(t.LastUsedAt))}, {"CREATED", a.when(t.CreatedAt)}, {"BY", safe(t.CreatedBy)},
					}
				})
		}),
	}
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a token", Args: arguments(1, 1, "token name"),
		Long: `Revokes a token. Requests with it fail from then on, and its sessions in the
console end. This cannot be undone: on a terminal the command asks first.`,
		Example: "  stevedore token revoke ci",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			if err := a.confirm(yes, "revoke token %s", safe(args[0])); err != nil {
				return err
			}
			token, err := api.RevokeToken(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showText(token, "token %s is revoked since %s", safe(token.Name), clock(value(token.RevokedAt)))
		}),
	}
	addYes(cmd, &yes)
	return cmd
}

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
			return printAll(a, api.ListAuditLog(ctx, params, limit), "no entries match", a.auditLogCells)
		}),
	}
	cmd.Flags().StringVar(&actor, "actor", "", "only changes requested by the token with this `NAME`, or by cli:USER")
	addChoice(cmd, cmd.Flags(), "action", "", "only this `ACTION`, e.g. server.edit", &choice[string]{
		values: ingest.AuditActions, set: func(text string) { action = text },
	})
	cmd.Flags().StringVar(&target, "target", "", "only changes of the server or token with this `NAME`, or of the file, scan or audit with this uuid")
	between.register(cmd, "changes requested")
	a.completeFlag(cmd, "actor", tokenNames)
	a.completeFlag(cmd, "target", serverNames)
	addLimit(cmd, &limit, "entries", 20)
	return cmd
}

// auditLogCells returns the cells of an entry. The last one begins with the error of a
// failed action and the changes of an edit.
func (a *app) auditLogCells(e openapi.AuditEntry) []cell {
	others := maps.Clone(e.Details)
	delete(others, "changes")
	described := slices.Concat(nonEmpty(value(e.Error)), e.Changes, nonEmpty(details(others)))
	return []cell{
		{"TIME", a.when(e.At)}, {"ACTOR", safe(e.Actor)}, {"ROLE", string(e.Role)}, {"ACTION", safe(e.Action)}, {"TARGET", safe(e.Target)},
		{"OUTCOME", string(e.Outcome)}, {"DETAILS", dash(strings.Join(described, "; "))},
	}
}
