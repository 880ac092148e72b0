package operations

import (
	"context"
	"slices"

	"stevedore/internal/ingest"
)

// checkJump refuses a jump host that does not exist or whose own jump hosts lead back to
// the server.
func (s *Service) checkJump(ctx context.Context, server ingest.Server) (wrong ingest.FieldErrors) {
	seen := []string{server.Name}
	for at := server; at.Jump != ""; {
		if slices.Contains(seen, at.Jump) {
			wrong.Add("jump", "jump: %s leads back to %s", server.Jump, at.Jump)
			return wrong
		}
		seen = append(seen, at.Jump)
		next, err := s.GetServer(ctx, at.Jump)
		if err != nil || next.Name != at.Jump {
			wrong.Add("jump", "jump: no server is called %q: `stevedore server list` shows all", ingest.Summary(at.Jump))
			return wrong
		}
		at = next
	}
	return wrong
}

// jumpedThrough returns KindConflict if the server is the jump host of another server.
func (s *Service) jumpedThrough(ctx context.Context, server ingest.Server) error {
	servers, err := s.ListServers(ctx)
	if err != nil {
		return err
	}
	for _, other := range servers {
		if other.Jump == server.Name && other.UUID != server.UUID {
			return ingest.Errorf(ingest.KindConflict, "server %s is the jump host of server %s: change that server's jump host first", server.Name, other.Name)
		}
	}
	return nil
}
