package operations

import (
	"context"
	"fmt"
	"strings"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// AnyVersion matches every version of a server.
const AnyVersion = "*"

// checkVersion returns ingest.ErrStale unless one of the comma-separated versions is the
// server's.
func checkVersion(server ingest.Server, version string) error {
	is := ServerVersion(server)
	for one := range strings.SplitSeq(version, ",") {
		if one == AnyVersion || one == is {
			return nil
		}
	}
	return ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "server %s was changed since you read it: read it again", server.Name)
}

// serverAt returns the server if it has the version.
func (s *Service) serverAt(ctx context.Context, nameOrUUID, version string) (ingest.Server, error) {
	server, err := s.GetServer(ctx, nameOrUUID)
	if err == nil {
		err = checkVersion(server, version)
	}
	return server, err
}

// ServerEdit changes a server.
type ServerEdit struct {
	// Settings changes settings; nil changes none. It may be called several times.
	Settings func(*ingest.Server)
	// Password and PrivateKey replace the credentials: nil keeps the stored one, empty
	// removes it.
	Password, PrivateKey []byte
	// KeyExtras belong to PrivateKey and require it.
	KeyExtras
}

// EditServer implements Servers.
func (s *Service) EditServer(ctx context.Context, nameOrUUID, version string, edit ServerEdit) (ingest.Server, error) {
	server, err := s.serverAt(ctx, nameOrUUID, version)
	if err != nil {
		return ingest.Server{}, err
	}
	seen := ServerVersion(server)
	edited, err := s.edited(ctx, server, edit)
	if err != nil {
		return ingest.Server{}, err
	}
	if ServerVersion(edited) == seen {
		return server, nil
	}
	changed := changes(server, edited)
	if edit.Password != nil {
		changed["password"] = ingest.FieldChanged
	}
	if edit.PrivateKey != nil {
		changed["private_key"] = ingest.FieldChanged
	}
	details := map[string]any{"server_uuid": server.UUID, "changes": changed}
	err = s.trail.Do(ctx, "server.edit", server.Name, details, func(string) (err error) {
		if edit.Password == nil && edit.PrivateKey == nil { // a removed pin reseals them
			ctx = ingest.WithResealing(ctx)
		}
		edited, err = s.storeEdit(ctx, seen, edited)
		return err
	})
	if err != nil {
		return server, err
	}
	return s.readAgain(ctx, edited), nil
}

// storeEdit stores the edited server if its version is still the seen one.
func (s *Service) storeEdit(ctx context.Context, seen string, edited ingest.Server) (ingest.Server, error) {
	return s.d.Ledger.EditServer(ctx, edited.UUID, func(current ingest.Server) (ingest.Server, error) {
		if err := checkVersion(current, seen); err != nil {
			return current, err
		}
		changed := edited
		changed.State, changed.LastError = current.State, current.LastError
		if current.State == ingest.ServerSuspended && !ingest.SameReach(current, changed) {
			changed.State, changed.LastError = ingest.ServerOK, ""
		}
		return changed, nil
	})
}

// edited returns the server after the edit, checked and with sealed credentials.
func (s *Service) edited(ctx context.Context, server ingest.Server, edit ServerEdit) (ingest.Server, error) {
	before := server
	if edit.Settings != nil {
		edit.Settings(&server)
	}
	wrong := checkSettings(server)
	key, wrongKey := storedKey(edit.PrivateKey, edit.KeyExtras)
	wrong = append(wrong, wrongKey...)
	if server.Jump != before.Jump || server.Name != before.Name {
		wrong = append(wrong, s.checkJump(ctx, server)...)
	}
	if server.Name != before.Name {
		if err := s.jumpedThrough(ctx, before); err != nil {
			return server, err
		}
	}
	if edit.Password != nil {
		server.PasswordEncrypted = nil
	}
	if edit.PrivateKey != nil {
		server.PrivateKeyEncrypted = nil
	}
	if len(server.PasswordEncrypted)+len(server.PrivateKeyEncrypted)+len(edit.Password)+len(edit.PrivateKey) == 0 {
		wrong.Add("credentials", "credentials: a password, a private key or both must be left")
	}
	checkPassword(&wrong, edit.Password)
	requireCredentials(&wrong, before, server)
	if err := wrong.Err("cannot edit the server"); err != nil {
		return server, err
	}
	if moved(before, server) {
		if err := s.checkOverlap(ctx, server); err != nil {
			return server, err
		}
	}
	server, err := s.keepSealed(ctx, before, server)
	if err != nil || len(edit.Password)+len(edit.PrivateKey) == 0 {
		return server, err
	}
	return s.seal(ctx, server, ingest.Credentials{Password: edit.Password, PrivateKey: key})
}

// RemoveServer implements Servers.
func (s *Service) RemoveServer(ctx context.Context, nameOrUUID, version string) (ingest.Server, error) {
	server, err := s.serverAt(ctx, nameOrUUID, version)
	if err != nil {
		return ingest.Server{}, err
	}
	if err := s.jumpedThrough(ctx, server); err != nil {
		return ingest.Server{}, err
	}
	err = s.trail.Do(ctx, "server.remove", server.Name, map[string]any{"server_uuid": server.UUID}, func(entry string) error {
		by := ingest.OperatorAction{Action: ingest.ActionSkip, Actor: access.From(ctx).Name, Reason: "server removed", Key: entry, Entry: entry, Verified: true}
		return s.d.Ledger.RemoveServer(ctx, server.UUID, by, func(current ingest.Server) error { return checkVersion(current, version) })
	})
	if err != nil {
		return ingest.Server{}, fmt.Errorf("remove server %q: %w", server.Name, err)
	}
	return server, nil
}
