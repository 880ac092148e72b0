package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Make, list and revoke tokens for the API",
		a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var in openapi.TokenRequest
	var role, expires string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print it, once", Args: none,
		Long: `Makes a token for the API and prints it. It is kept nowhere: only its digest is
stored. A viewer reads; an operator also acts on files and scans, tests and
pauses servers; an admin also changes servers and tokens.`,
		Example: "  stevedore token create --name ci --role operator --expires 30d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			lifetime, err := parseDays(expires)
			if err != nil {
				return usageError{fmt.Errorf("--expires: %w", err)}
			}
			if lifetime > 0 {
				seconds := int64((lifetime + time.Second - 1) / time.Second)
				in.ExpiresInSeconds = &seconds
			}
			in.Role = openapi.Role(role)
			return a.withAPI("token create", func(api *client.API) error {
				token, err := api.CreateToken(cmd.Context(), in)
				if err != nil {
					return err
				}
				a.note("%s token %s: keep it, it is not shown again", token.Role, token.Name)
				return a.printOne(token, func(w io.Writer) { fmt.Fprintln(w, token.Token) })
			})
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "unique `NAME` that stands in the audit log")
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	complete(cmd, "role", "viewer", "operator", "admin")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it is valid, e.g. `30d` or 12h; without it, until it is revoked")
	return cmd
}

// parseDays reads a duration, also one in days.
func parseDays(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if n > 100_000 {
			n = 100_000 // more would not fit; it is refused for being too long
		}
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a time such as 30d or 12h", text)
	}
	return d, nil
}

func (a *app) tokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all tokens, without their secrets", Args: none,
		Example: "  stevedore token list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAPI("token list", func(api *client.API) error {
				tokens, err := api.ListTokens(cmd.Context())
				if err != nil {
					return err
				}
				rows := a.newList("NAME", "ROLE", "STATE", "EXPIRES", "LAST USED", "CREATED", "BY")
				for _, t := range tokens {
					err := rows.add(t, safe(t.Name), string(t.Role), string(t.State), clock(value(t.ExpiresAt)), clock(value(t.LastUsedAt)),
						clock(t.CreatedAt), safe(t.CreatedBy))
					if err != nil {
						return err
					}
				}
				return rows.end("no tokens yet: make one with `stevedore token create`; STEVEDORE_TOKEN works as an admin's")
			})
		},
	}
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "End a token at once", Args: exactly("token name"),
		Long: `Ends a token at once, and with it what people and programs do with it. It cannot
be taken back: on a terminal it asks.`,
		Example: "  stevedore token revoke ci",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAPI("token revoke", func(api *client.API) error {
				if err := a.confirm("revoke token "+safe(args[0]), yes); err != nil {
					return err
				}
				token, err := api.RevokeToken(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printOne(token, func(w io.Writer) {
					fmt.Fprintf(w, "token %s is revoked since %s\n", safe(token.Name), clock(value(token.RevokedAt)))
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
