package operations

import (
	"context"
	"fmt"

	"stevedore/internal/ingest"
)

// RotateRequest holds the options of RotateKey.
type RotateRequest struct {
	// KeyOnly adds the key and leaves the credentials to a later rotation, so that the
	// keyset file can be copied to every host first.
	KeyOnly bool
	// Progress is called after each server; nil for no calls.
	Progress func(done, total int)
}

// RotateResult is the result of RotateKey.
type RotateResult struct {
	// NewKey reports whether a key was added; otherwise an earlier rotation was resumed.
	NewKey bool
	// Servers is the number of servers with credentials, Resealed the number of those
	// whose credentials were resealed.
	Servers, Resealed int
	// Failed are servers whose credentials cannot be opened, by name.
	Failed []string
}

// RotateKey adds a key and reseals all credentials with it. It may be interrupted at any
// moment and called again: while credentials are sealed with an older key, it reseals them
// instead of adding another key. Each server changes in a transaction of its own and stays
// in operation.
func (s *Service) RotateKey(ctx context.Context, req RotateRequest) (result RotateResult, err error) {
	keys, err := s.keyring(ctx)
	if err != nil {
		return result, err
	}
	servers, err := s.sealedServers(ctx, keys)
	if err != nil {
		return result, err
	}
	result.Failed = servers.unopened
	result.Servers, result.NewKey = len(servers.opened)+len(servers.unopened), len(servers.behind) == 0
	details := map[string]any{"new_key": result.NewKey, "servers": result.Servers, "key_only": req.KeyOnly}
	err = s.trail.Do(ctx, "key.rotate", "keyset", details, func(string) error {
		if result.NewKey {
			if err := keys.Rotate(); err != nil {
				return err
			}
			servers.behind = servers.opened
		}
		if req.KeyOnly {
			return nil
		}
		if err := s.resealAll(ctx, keys, servers.behind, req.Progress, &result); err != nil {
			return err
		}
		return keys.RenewCanary(ctx, s.d.Ledger)
	})
	return result, err
}

// sealedServers groups the servers with credentials.
type sealedServers struct {
	opened []ingest.Server
	// behind are the opened servers whose credentials were sealed with an older key.
	behind []ingest.Server
	// unopened are the names of servers whose credentials no key opens. If they counted as
	// behind, no rotation would add a key.
	unopened []string
}

func (s *Service) sealedServers(ctx context.Context, keys Keyring) (found sealedServers, err error) {
	servers, err := s.ListServers(ctx)
	for _, server := range servers {
		if len(server.PasswordEncrypted)+len(server.PrivateKeyEncrypted) == 0 {
			continue
		}
		current, err := keys.AllCurrent(server)
		if err != nil {
			found.unopened = append(found.unopened, server.Name)
			continue
		}
		found.opened = append(found.opened, server)
		if !current {
			found.behind = append(found.behind, server)
		}
	}
	return found, err
}

func (s *Service) resealAll(ctx context.Context, keys Keyring, servers []ingest.Server, progress func(done, total int), result *RotateResult) error {
	for i, server := range servers {
		var unopened error
		_, err := s.d.Ledger.EditServer(ingest.WithResealing(ctx), server.UUID, func(stored ingest.Server) (ingest.Server, error) {
			var current bool
			if current, unopened = keys.AllCurrent(stored); current || unopened != nil {
				return stored, unopened
			}
			return keys.Reseal(stored, stored)
		})
		switch {
		case unopened != nil:
			result.Failed = append(result.Failed, server.Name)
		case ingest.IsMissingRow(err): // removed meanwhile
		case err != nil:
			return fmt.Errorf("re-encrypt the credentials of server %q: %w", server.Name, err)
		default:
			result.Resealed++
		}
		if progress != nil {
			progress(i+1, len(servers))
		}
	}
	if len(result.Failed) > 0 {
		return ingest.Errorf(ingest.KindInvalid,
			"the credentials of %s cannot be opened and were not changed: set them with `stevedore server edit %s --password-file FILE`, or restore the keyset file that encrypted them",
			ingest.Counted(len(result.Failed), "server", "servers"), result.Failed[0])
	}
	return nil
}
