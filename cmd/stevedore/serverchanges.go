package main

import (
	"context"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// changesResult is the held changes of a server, or the result of an action, as JSON.
type changesResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	// Files is the number of files that are held, or that the action resolved.
	Files    int64                  `json:"files"`
	Held     string                 `json:"held"`
	Decision ingest.ChangesDecision `json:"decision"`
}

func (a *app) serverChangesCommand() *cobra.Command {
	var take, same bool
	var part, reason string
	cmd := &cobra.Command{
		Use: "changes NAME", Short: "Show or resolve held changes: known files with another time or path",
		Long: `Shows the known files of a server that are held, because many of them look new
in one listing and only their times differ: a change to summer time, a restored
backup, a copied folder. Files whose times moved by the same amount are one part.
New files with the name, size and time of an ingested file that is gone are held
as the part "moved".

--take ingests them as new versions. --same keeps them as the versions that were
ingested before, and records the new times or paths; nothing is notified. With
several parts, --part selects one: the amount, such as 1h or -1h, "others" for
files that moved by rare amounts, "moved", or "all". The settings hold-changes
and moved control what is held.`,
		Example: "  stevedore server changes acme\n  stevedore server changes acme --same --reason 'summer time'",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			decision := map[bool]ingest.ChangesDecision{take: ingest.ChangesTake, same: ingest.ChangesSame}[true]
			switch {
			case take && same:
				return usageErrorf("--take and --same exclude each other")
			case decision != "" && reason == "":
				return usageErrorf("--reason is missing: the history of the files records it")
			}
			server, _, err := api.Server(ctx, args[0])
			if err != nil {
				return err
			}
			result := changesResult{
				Server: server.Name, ServerUUID: server.ServerUUID, Files: server.HeldChanges, Held: value(server.HeldReason), Decision: decision,
			}
			if decision != "" {
				request := openapi.ChangesDecision{Decision: openapi.ChangesDecisionDecision(decision), Part: given(part), Reason: reason}
				if result.Files, err = api.DecideChanges(ctx, server.ServerUUID, request); err != nil {
					return err
				}
			}
			return a.showText(result, "%s", result)
		}),
	}
	cmd.Flags().BoolVar(&take, "take", false, "ingest them as new versions")
	cmd.Flags().BoolVar(&same, "same", false, "keep them as the versions that were ingested before")
	cmd.Flags().StringVar(&part, "part", "", "only this `PART`: an amount such as 1h, others, moved, or all")
	addReason(cmd, &reason)
	return cmd
}

// String returns the result as text.
func (r changesResult) String() string {
	files := ingest.Counted(r.Files, "file", "files") + " of " + safe(r.Server)
	switch {
	case r.Decision == ingest.ChangesTake:
		return files + " will be ingested as new versions"
	case r.Decision == ingest.ChangesSame:
		return files + " kept as versions that were ingested before"
	case r.Files == 0:
		return "no changes of " + safe(r.Server) + " are held"
	}
	return safe(r.Held) + "\nresolve with --take or --same and --reason WHY"
}
