package operations

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

const (
	// scanTurn is how long a turn lasts: in it at most two scans of the same servers
	// begin that somebody asked for, one at once and one at its end.
	scanTurn = 2 * time.Second
	// suspendedTurn is that of scans that try a suspended server: each may be a log-in
	// that its owner's defences count.
	suspendedTurn = 30 * time.Second
)

// turn is when a scan may begin.
type turn struct {
	uuid  string
	delay time.Duration
}

// takeTurn finds the scan that serves a request for the servers. The first request in a
// turn has one of its own that begins at once. All others share the one that begins with
// the next turn, and so sees what they want to have seen. The scans' names follow from
// the servers and the time: it does not matter which process is asked.
func (s *Service) takeTurn(ctx context.Context, servers []ingest.Server) (turn, error) {
	if len(servers) == 0 {
		return turn{uuid: s.d.NewUUID()}, nil
	}
	length := scanTurn
	names := make([]string, 0, len(servers))
	for _, server := range servers {
		names = append(names, server.UUID)
		if server.State == ingest.ServerSuspended {
			length = suspendedTurn
		}
	}
	slices.Sort(names)
	now := s.d.Now()
	began := now.Truncate(length)
	named := func(which string) string {
		return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "scan %s %s %d %s", which, length, began.Unix(), strings.Join(names, " "))).String()
	}
	first := named("first")
	_, err := s.d.Orchestrator.DescribeScan(ctx, ingest.ScanWorkflowID(first))
	switch {
	case err == nil:
		return turn{uuid: named("second"), delay: began.Add(length).Sub(now)}, nil
	case ingest.KindOf(err) == ingest.KindMissing:
		return turn{uuid: first}, nil
	default:
		return turn{}, err
	}
}
