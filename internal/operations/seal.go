package operations

import (
	"context"
	"reflect"
	"strings"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

// seal returns the server with the given credentials, encrypted for its current settings.
// Sealing is encryption that is bound to the server and to where its credentials are sent,
// see credentials.WhereOf.
func (s *Service) seal(ctx context.Context, server ingest.Server, creds ingest.Credentials) (ingest.Server, error) {
	keys, err := s.keyring(ctx)
	if err != nil {
		return server, err
	}
	return keys.SealAll(server, creds)
}

// keyring returns the Keyring after it has checked that the keyset belongs to the ledger.
func (s *Service) keyring(ctx context.Context) (Keyring, error) {
	keys, err := s.d.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	return keys, keys.Check(ctx, s.d.Ledger)
}

// requireCredentials adds an error for each stored credential if an edit changes the
// destination of the server. Otherwise an editor without the secret could send it to a host
// of their choice.
func requireCredentials(wrong *ingest.FieldErrors, before, after ingest.Server) {
	moved := credentials.WhereOf(before).Moved(credentials.WhereOf(after))
	if len(moved) == 0 {
		return
	}
	why := strings.Join(moved, ", ") + " of the server changed, and stored credentials are sent only to the destination they were entered for"
	hint := ""
	if reflect.DeepEqual(moved, []string{"host_keys"}) {
		hint = "; or pin the key with `stevedore server test --approve` once the server presents it"
	}
	if len(after.PasswordEncrypted) > 0 {
		wrong.Add("password", "password: enter it again (--password-file): %s%s", why, hint)
	}
	if len(after.PrivateKeyEncrypted) > 0 {
		wrong.Add("private_key", "private key: enter it again (--private-key-file): %s%s", why, hint)
	}
}

// keepSealed returns after with the credentials that it keeps from before. They are encrypted
// again if the destination differs, which here means that a pin was removed: for another
// destination requireCredentials requires them to be entered again.
func (s *Service) keepSealed(ctx context.Context, before, after ingest.Server) (ingest.Server, error) {
	if len(after.PasswordEncrypted)+len(after.PrivateKeyEncrypted) == 0 || reflect.DeepEqual(credentials.WhereOf(before), credentials.WhereOf(after)) {
		return after, nil
	}
	keys, err := s.keyring(ctx)
	if err != nil {
		return after, err
	}
	before.PasswordEncrypted, before.PrivateKeyEncrypted = after.PasswordEncrypted, after.PrivateKeyEncrypted
	return keys.Reseal(before, after)
}

// approvePins replaces the server's pinned keys by lines, which an operator approved, reseals
// the credentials for them and ends a suspension. It returns ingest.ErrStale if the destination
// was changed since the server was read.
func (s *Service) approvePins(ctx context.Context, server *ingest.Server, lines []string) error {
	keys, err := s.keyring(ctx)
	if err != nil {
		return err
	}
	seen := credentials.WhereOf(*server)
	pinned, err := s.d.Ledger.EditServer(ingest.WithResealing(ctx), server.UUID, func(current ingest.Server) (ingest.Server, error) {
		if !reflect.DeepEqual(credentials.WhereOf(current), seen) {
			return current, ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "server %s was changed meanwhile: test it again", current.Name)
		}
		edited := current
		edited.HostKeys = lines
		if current.State == ingest.ServerSuspended {
			edited.State, edited.LastError = ingest.ServerOK, ""
		}
		return keys.Reseal(current, edited)
	})
	if err == nil {
		server.HostKeys, server.PasswordEncrypted, server.PrivateKeyEncrypted = lines, pinned.PasswordEncrypted, pinned.PrivateKeyEncrypted
	}
	return err
}
