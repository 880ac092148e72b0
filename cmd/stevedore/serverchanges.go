package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// changesResult is what is held, or was decided, as JSON.
type changesResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	// Files is how many are held or were decided about.
	Files    int64                  `json:"files"`
	Held     string                 `json:"held"`
	Decision ingest.ChangesDecision `json:"decision"`
}

func (a *app) serverChangesCommand() *cobra.Command {
	var take, same bool
	var part, reason string
	cmd := &cobra.Command{
		Use: "changes NAME", Short: "Show or decide about known files that look new only by their times", Args: exactly("server name or uuid"),
		Long: `Shows the known files of a server that are held, because many of them look new
at once and only their times are others: a change to summer time, a restored
backup, a copied folder. What moved by the same time is one part.

With --take they are new versions, and are taken and announced. With --same
they are the versions that were taken before: nothing is announced, and these
times are known from then on. Where there are several parts, --part says
which: a time such as 1h or -1h, others for the files that moved as few others
did, or all. The threshold is the server's setting hold-changes.`,
		Example: "  stevedore server changes acme\n  stevedore server changes acme --same --reason 'summer time'",
		RunE: func(cmd *cobra.Command, args []string) error {
			decision := map[bool]ingest.ChangesDecision{take: ingest.ChangesTake, same: ingest.ChangesSame}[true]
			if take && same {
				return usageError{errors.New("--take and --same exclude each other")}
			}
			if decision != "" && reason == "" {
				return usageError{errors.New("--reason is missing: it goes into the files' history")}
			}
			return a.withAPI("server changes", func(api *client.API) error {
				server, _, err := api.Server(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				result := changesResult{
					Server: server.Name, ServerUUID: server.ServerUUID, Files: server.HeldChanges, Held: value(server.HeldReason), Decision: decision,
				}
				if decision != "" {
					request := openapi.ChangesDecision{Decision: openapi.ChangesDecisionDecision(decision), Part: given(part), Reason: reason}
					if result.Files, err = api.DecideChanges(cmd.Context(), server.ServerUUID, request); err != nil {
						return err
					}
				}
				return a.printOne(result, func(w io.Writer) { printChanges(w, result) })
			})
		},
	}
	cmd.Flags().BoolVar(&take, "take", false, "take them as new versions")
	cmd.Flags().BoolVar(&same, "same", false, "they are the versions that were taken before")
	cmd.Flags().StringVar(&part, "part", "", "`PART` that is decided about: a time by which files moved, others, or all")
	cmd.Flags().StringVar(&reason, "reason", "", "`WHY`; goes into the files' history")
	return cmd
}

func printChanges(w io.Writer, r changesResult) {
	switch {
	case r.Decision == ingest.ChangesTake:
		fmt.Fprintf(w, "%s of %s taken as new versions\n", ingest.Counted(r.Files, "file", "files"), safe(r.Server))
	case r.Decision == ingest.ChangesSame:
		fmt.Fprintf(w, "%s of %s kept as versions that were taken before\n", ingest.Counted(r.Files, "file", "files"), safe(r.Server))
	case r.Files == 0:
		fmt.Fprintf(w, "nothing of %s is held\n", safe(r.Server))
	default:
		fmt.Fprintf(w, "%s\ndecide with --take or --same and --reason WHY\n", safe(r.Held))
	}
}
