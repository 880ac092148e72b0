package main

import (
	"os/user"

	"github.com/spf13/cobra"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// decideCommand is file retry, skip or renotify.
func (a *app) decideCommand(action admin.Action, short, long string) *cobra.Command {
	var d workflows.Decision
	cmd := &cobra.Command{
		Use: string(action) + " UUID...", Short: short, Long: long, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with("file "+string(action), func(ops operations) error {
				for _, uuid := range args {
					file, err := ops.Decide(cmd.Context(), uuid, action, d)
					if err != nil {
						return err
					}
					a.note("%s: %s %s", action, file.UUID, safe(file.RemotePath))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&d.Reason, "reason", "", "why; it goes into the file's history")
	if action == admin.Retry {
		cmd.Flags().StringVar((*string)(&d.From), "from", "", "`STEP` to go on from: download, verify, upload or notify (default the one that failed)")
	}
	return cmd
}

// actor names who gives the command, for the ledger.
func actor() string {
	if current, err := user.Current(); err == nil {
		return "cli:" + ingest.SafeName(current.Username)
	}
	return "cli"
}

func (a *app) decideCommands() []*cobra.Command {
	return []*cobra.Command{
		a.decideCommand(admin.Retry, "Try files in error again",
			"Sends files that wait in error on their way again, from the step that failed\nor an earlier one. A uuid may be given by its beginning."),
		a.decideCommand(admin.Skip, "Give files in error up",
			"Ends files that wait in error as skipped: they are not fetched again unless\nthe partner changes them. A uuid may be given by its beginning."),
		a.decideCommand(admin.Renotify, "Announce files again",
			"Announces completed files once more, with the message id they had. A uuid may\nbe given by its beginning."),
	}
}
