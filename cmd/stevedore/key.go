package main

import (
	"context"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/operations"
)

const keyRotateLong = `Adds a new key to the keyset file and re-encrypts the credentials of all servers
with it. An interrupted rotation may be repeated: it continues with the key that
it added. Servers are used meanwhile; worker and API reload the file.

Older keys stay in the file, because backups of the database need them. Back up
the file afterwards, in another place than the database.

If several hosts have a copy of the file: add the key with --key-only, copy the
file to all hosts, then run the command again.`

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
		Use: "rotate", Short: "Add a key and re-encrypt all credentials with it", Long: keyRotateLong, Args: none,
		Example: "  stevedore key rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withParts(cmd.Context(), cmd.CommandPath(), config.ComponentKeys, func(ctx context.Context, parts installation) error {
				progress := &progress{app: a}
				req.Progress = progress.rotation
				result, err := parts.RotateKey(ctx, req)
				progress.end()
				if err != nil && result.Resealed == 0 {
					return err
				}
				if printErr := a.showRotation(result, req.KeyOnly); printErr != nil {
					return printErr
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&req.KeyOnly, "key-only", false, "add the key; the next run re-encrypts the credentials")
	return cmd
}

func (a *app) showRotation(r operations.RotateResult, keyOnly bool) error {
	result := rotateResult{NewKey: r.NewKey, Servers: r.Servers, Resealed: r.Resealed, Failed: append([]string{}, r.Failed...)}
	return a.show(result, func(t *table) {
		if r.NewKey {
			t.text("added a new key to the keyset file: back it up")
		} else {
			t.text("continued an earlier rotation: no key was added")
		}
		if keyOnly {
			t.text("copy the file to each host, then run `stevedore key rotate`")
			return
		}
		t.text("re-encrypted the credentials of %d of %d server(s)", r.Resealed, r.Servers)
	})
}
