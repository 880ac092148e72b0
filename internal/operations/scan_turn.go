package operations

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

const (
	// scanTurn is the length of a turn. Per turn at most two requested scans of the same
	// servers start: one immediately and one at its end.
	scanTurn = 2 * time.Second
	// suspendedTurn is the length of a turn for scans of suspended servers. It is longer
	// because failed logins can lock the account.
	suspendedTurn = 30 * time.Second
)

// turn is the scan that serves a request, and the delay until it starts.
type turn struct {
	uuid  string
	delay time.Duration
}

// takeTurn returns the scan that serves a request for the servers. The first request in a
// turn has its own scan, which starts immediately. All others share a scan that starts with
// the next turn, so that it lists changes made before their request. The scan's uuid derives
// from the servers and the time, so that all processes share scans.
func (s *Service) takeTurn(ctx context.Context, servers []ingest.Server) (turn, error) {
	if len(servers) == 0 {
		return turn{uuid: s.d.NewUUID()}, nil
	}
	length := scanTurn
	if slices.ContainsFunc(servers, func(s ingest.Server) bool { return s.State == ingest.ServerSuspended }) {
		length = suspendedTurn
	}
	uuids := slices.Sorted(slices.Values(uuidsOf(servers)))
	now := s.d.Now()
	began := now.Truncate(length)
	named := func(which string) string {
		return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "scan %s %s %d %s", which, length, began.Unix(), strings.Join(uuids, " "))).String()
	}
	first := named("first")
	_, err := s.d.Orchestrator.DescribeScan(ctx, temporalnames.ScanWorkflowID(first))
	switch {
	case err == nil:
		return turn{uuid: named("second"), delay: began.Add(length).Sub(now)}, nil
	case ingest.KindOf(err) == ingest.KindMissing:
		return turn{uuid: first}, nil
	default:
		return turn{}, err
	}
}
