package main

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

const (
	// maxCompletions bounds the completions of one word.
	maxCompletions = 50
	// latest is the argument for the latest scan or audit.
	latest = "latest"
)

// completer calls add with values for the word that begins with the prefix.
type completer func(ctx context.Context, api *client.API, prefix string, add func(value, description string)) error

// completeValues completes fixed values of a flag.
func completeValues[T ~string](cmd *cobra.Command, flag string, values []T) {
	var texts []string
	for _, value := range values {
		texts = append(texts, string(value))
	}
	// The only error is an unknown flag, which the tests of help texts would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(texts, cobra.ShellCompDirectiveNoFileComp))
}

// completeFlag completes the values of a flag by calling the API.
func (a *app) completeFlag(cmd *cobra.Command, flag string, values completer) {
	_ = cmd.RegisterFlagCompletionFunc(flag, a.completion(values))
}

// completeArgs completes the arguments of a command by calling the API.
func (a *app) completeArgs(cmd *cobra.Command, values completer) *cobra.Command {
	complete := a.completion(values)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && cmd.Args(cmd, append(args, prefix)) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, prefix)
	}
	return cmd
}

// completion returns no values when the API cannot be called.
func (a *app) completion(values completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) (found []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), a.patience)
		defer cancel()
		_ = a.withAPI(cmd.CommandPath(), func(api *client.API) error {
			return values(ctx, api, prefix, func(value, description string) {
				if strings.HasPrefix(value, prefix) && len(found) < maxCompletions {
					found = append(found, cobra.CompletionWithDesc(value, safe(description)))
				}
			})
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func serverNames(ctx context.Context, api *client.API, _ string, add func(value, description string)) error {
	list, err := api.ListServers(ctx)
	for _, server := range list.Servers {
		if ingest.ValidName(server.Name) {
			add(server.Name, ingest.Health(server.Health).Label()+", "+address(server))
		}
	}
	return err
}

// errorKinds completes the kinds of errors of failed files.
func errorKinds(ctx context.Context, api *client.API, _ string, add func(value, description string)) error {
	failures, err := api.ListFailures(ctx, &openapi.ListFailuresParams{})
	files := map[string]int64{}
	for _, g := range failures.Groups {
		files[g.ErrorKind] += g.Count
	}
	for _, kind := range slices.Sorted(maps.Keys(files)) {
		if kind != "" {
			add(kind, ingest.Counted(files[kind], "file", "files"))
		}
	}
	return err
}

// scans completes "latest", the uuids of requested scans and the ids of server scans,
// the latest first. Only the audit log lists the uuids, and only to admins.
func scans(ctx context.Context, api *client.API, _ string, add func(value, description string)) error {
	add(latest, "the latest scan of each server")
	requested := api.ListAuditLog(ctx, openapi.ListAuditLogParams{Action: given("scan.start")}, maxCompletions/2)
	_ = addAll(requested, add, func(e openapi.AuditEntry) (value, description string) {
		return e.Target, "scan " + clock(e.At) + " by " + e.Actor
	})
	return addAll(api.ListScans(ctx, openapi.ListScansParams{}, maxCompletions), add, func(l openapi.Listing) (value, description string) {
		return strconv.FormatInt(l.ID, 10), l.Server + " " + clock(l.StartedAt) + " by " + requester(l)
	})
}

// addAll adds the items before the first error, and returns that error.
func addAll[T any](items iter.Seq2[T, error], add func(value, description string), describe func(T) (value, description string)) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		add(describe(item))
	}
	return nil
}

// fileUUIDs completes the latest files in the statuses, or in any if there are none, or those
// whose uuid has the prefix once it is long enough for the API.
func fileUUIDs(statuses []openapi.FileStatus) completer {
	return func(ctx context.Context, api *client.API, prefix string, add func(value, description string)) error {
		params := openapi.ListFilesParams{Status: givenList(statuses)}
		if len(prefix) >= 4 {
			params.UUID = &prefix
		} else {
			params.Order = given(openapi.FileOrder(ingest.OrderNewest))
		}
		return addAll(api.ListFiles(ctx, params, maxCompletions), add, func(f openapi.File) (value, description string) {
			return f.FileUUID, string(f.Status) + " " + f.Server + ":" + f.RemotePath
		})
	}
}

func auditUUIDs(ctx context.Context, api *client.API, _ string, add func(value, description string)) error {
	add(latest, "the latest audit")
	return addAll(api.ListAudits(ctx, openapi.ListAuditsParams{}, maxCompletions), add, func(r openapi.AuditRun) (value, description string) {
		return r.AuditUUID, string(r.State) + " " + clock(r.StartedAt)
	})
}

func tokenNames(ctx context.Context, api *client.API, _ string, add func(value, description string)) error {
	list, err := api.ListTokens(ctx)
	for _, token := range list.Tokens {
		if token.State == "valid" {
			add(token.Name, string(token.Role))
		}
	}
	return err
}
