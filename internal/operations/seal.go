package operations

import (
	"context"
	"reflect"
	"strings"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

// seal encrypts the credentials that are given for the server as it is now.
func (s *Service) seal(ctx context.Context, server *ingest.Server, creds ingest.Credentials) error {
	sealer, err := s.sealer(ctx)
	if err != nil {
		return err
	}
	for _, secret := range []struct {
		field string
		clear []byte
		to    *[]byte
	}{
		{credentials.FieldPassword, creds.Password, &server.PasswordEncrypted},
		{credentials.FieldPrivateKey, creds.PrivateKey, &server.PrivateKeyEncrypted},
	} {
		if len(secret.clear) == 0 {
			continue
		}
		sealed, err := sealer.Seal(secret.field, *server, secret.clear)
		if err != nil {
			return err
		}
		*secret.to = sealed
	}
	return nil
}

// sealer returns what seals, once its keyset is known to be the ledger's.
func (s *Service) sealer(ctx context.Context) (Sealer, error) {
	sealer, err := s.d.Sealer(ctx)
	if err != nil {
		return nil, err
	}
	return sealer, sealer.Check(ctx, s.d.Ledger)
}

// askAgain refuses to keep a credential for a server that an edit points somewhere
// else: who may edit need not know the secret, and must not get it sent to a host
// of their choice.
func askAgain(wrong *ingest.FieldErrors, before, after ingest.Server) {
	moved := credentials.WhereOf(before).Moved(credentials.WhereOf(after))
	if len(moved) == 0 {
		return
	}
	why := strings.Join(moved, ", ") + " of the server changed, and the stored one must not be sent there unasked"
	hint := ""
	if reflect.DeepEqual(moved, []string{"host_keys"}) {
		hint = "; or have the key approved with `stevedore server test --approve` once the server presents it"
	}
	if len(after.PasswordEncrypted) > 0 {
		wrong.Add("password", "password: give it again (--password-file): %s%s", why, hint)
	}
	if len(after.PrivateKeyEncrypted) > 0 {
		wrong.Add("private_key", "private key: give it again (--private-key-file): %s%s", why, hint)
	}
}

// keepSealed seals what after keeps of the credentials for it, when it is not
// where they were sealed for: a pin was removed.
func (s *Service) keepSealed(ctx context.Context, before, after ingest.Server) (ingest.Server, error) {
	if len(after.PasswordEncrypted)+len(after.PrivateKeyEncrypted) == 0 || reflect.DeepEqual(credentials.WhereOf(before), credentials.WhereOf(after)) {
		return after, nil
	}
	sealer, err := s.sealer(ctx)
	if err != nil {
		return after, err
	}
	before.PasswordEncrypted, before.PrivateKeyEncrypted = after.PasswordEncrypted, after.PrivateKeyEncrypted
	return sealer.Reseal(before, after)
}

// approvePins pins the keys, which an operator has approved, in place of the
// server's, and seals its credentials with them. Credentials that were not sealed
// for the server as it is are refused: its row was changed by somebody else.
func (s *Service) approvePins(ctx context.Context, server *ingest.Server, keys []string) error {
	sealer, err := s.sealer(ctx)
	if err != nil {
		return err
	}
	seen := credentials.WhereOf(*server)
	return s.d.Ledger.SetHostKeys(ctx, server.UUID, func(current ingest.Server) (ingest.Server, error) {
		if !reflect.DeepEqual(credentials.WhereOf(current), seen) {
			return current, ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "server %s was changed meanwhile: test it again", current.Name)
		}
		pinned := current
		pinned.HostKeys = keys
		pinned, err := sealer.Reseal(current, pinned)
		if err == nil {
			server.HostKeys, server.PasswordEncrypted, server.PrivateKeyEncrypted = keys, pinned.PasswordEncrypted, pinned.PrivateKeyEncrypted
		}
		return pinned, err
	})
}
