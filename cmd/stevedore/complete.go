package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/internal/ingest"
)

// completeTimeout is how long somebody waits for a completion at most.
const completeTimeout = 2 * time.Second

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that does not exist, which a test would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeServers offers the servers' names for a flag.
func (a *app) completeServers(cmd *cobra.Command, flag string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, a.serverNames)
}

// completeServer offers the servers' names for the command's argument.
func (a *app) completeServer(cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.serverNames(cmd, args, prefix)
	}
	return cmd
}

// serverNames asks for the names; whatever goes wrong, there are none.
func (a *app) serverNames(cmd *cobra.Command, _ []string, prefix string) (names []string, _ cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	_ = a.withAPI("completion", func(api *client.API) error {
		servers, err := api.ListServers(ctx)
		for _, server := range servers {
			if strings.HasPrefix(server.Name, prefix) && ingest.ValidName(server.Name) {
				names = append(names, server.Name)
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// stepNames are the steps that a file can be retried from.
func stepNames() []string {
	var names []string
	for _, step := range ingest.RetrySteps() {
		names = append(names, string(step))
	}
	return names
}

// oneOf lists two or more choices as help texts and errors do: "a, b or c".
func oneOf(choices []string) string {
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

func statusNames() []string {
	var names []string
	for _, status := range ingest.Statuses {
		names = append(names, string(status))
	}
	return names
}
