package operations

import (
	"context"

	"stevedore/internal/ingest"
)

// checkOverlap refuses a server that takes what another one takes: every file would be
// announced twice. A taken name is left to the ledger.
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
				"%s; files would be taken and announced twice. If that is meant, set allow_overlap (--allow-overlap)", why)
		}
	}
	return nil
}

// moved reports whether the server takes its files from another place, or may no
// longer share it.
func moved(before, after ingest.Server) bool {
	changed := changes(before, after)
	for _, field := range []string{"host", "port", "username", "root_path", "after_ingest", "proxy", "jump", "allow_overlap"} {
		if _, is := changed[field]; is {
			return true
		}
	}
	return false
}
