package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/operations"
)

const keyRotateLong = `Adds a fresh key to the keyset file and seals the credentials of all servers
anew with it. It may be stopped at any moment and repeated: a rotation that was
stopped is brought to its end, without another key. Servers work all the time;
worker and API take the new file up by themselves.

Older keys stay in the file, since backups of the database need them. Back the
file up afterwards, apart from the database.

Where several hosts have a copy of the file, add the key with --key-only, copy
the file to all of them, and then run the command again.`

// rotateResult is a rotation as JSON.
type rotateResult struct {
	NewKey   bool     `json:"new_key"`
	Servers  int      `json:"servers"`
	Resealed int      `json:"resealed"`
	Failed   []string `json:"failed"`
}

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Rotate the key that encrypts credentials", a.keyRotateCommand())
}

func (a *app) keyRotateCommand() *cobra.Command {
	var req operations.RotateRequest
	cmd := &cobra.Command{
		Use: "rotate", Short: "Add a key and seal all credentials anew with it", Long: keyRotateLong, Args: none,
		Example: "  stevedore key rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withParts(cmd.Context(), "key rotate", config.ComponentKeys, func(ctx context.Context, parts installation) error {
				progress := newProgress(a)
				req.Progress = progress.rotation
				result, err := parts.RotateKey(ctx, req)
				progress.end()
				if err != nil && result.Resealed == 0 {
					return err
				}
				if printErr := a.printRotation(result, req.KeyOnly); printErr != nil {
					return printErr
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&req.KeyOnly, "key-only", false, "add the key and leave the credentials for the next run")
	return cmd
}

func (a *app) printRotation(r operations.RotateResult, keyOnly bool) error {
	result := rotateResult{NewKey: r.NewKey, Servers: r.Servers, Resealed: r.Resealed, Failed: append([]string{}, r.Failed...)}
	return a.printOne(result, func(w io.Writer) {
		if r.NewKey {
			fmt.Fprintln(w, "a new key was added to the keyset file: back it up")
		} else {
			fmt.Fprintln(w, "an earlier rotation goes on: no key was added")
		}
		if keyOnly {
			fmt.Fprintln(w, "copy the file to every host, then run `stevedore key rotate`")
			return
		}
		fmt.Fprintf(w, "%d of %d server(s) with credentials were sealed anew\n", r.Resealed, r.Servers)
	})
}
