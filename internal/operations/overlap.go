package operations

import (
	"context"

	"stevedore/internal/ingest"
)

// checkOverlap refuses a server that ingests the files of another server, because each
// file would be stored and notified twice. The ledger checks that names are unique.
func (s *Service) checkOverlap(ctx context.Context, server ingest.Server) error {
	if server.AllowOverlap {
		return nil
	}
	others, err := s.ListServers(ctx)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.UUID == server.UUID || other.Name == server.Name {
			continue
		}
		if why := server.Overlap(other); why != "" {
			return ingest.Errorf(ingest.KindConflict,
				"%s; each file would be stored and notified twice; if that is intended, set allow_overlap (--allow-overlap)", why)
		}
	}
	return nil
}

// moved reports whether the source of the server's files changed, or the permission to
// share it with another server.
func moved(before, after ingest.Server) bool {
	changed := changes(before, after)
	for _, field := range []string{"host", "port", "username", "root_path", "after_ingest", "proxy", "jump", "allow_overlap"} {
		if _, is := changed[field]; is {
			return true
		}
	}
	return false
}
