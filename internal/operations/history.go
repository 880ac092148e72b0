package operations

import (
	"context"

	"stevedore/internal/ingest"
)

// ListScans implements Scans.
func (s *Service) ListScans(ctx context.Context, server string, beforeID int64, limit int) (page ingest.Page[ingest.Scan], err error) {
	server, err = s.uuidOf(ctx, server)
	if err != nil {
		return page, err
	}
	scans, err := s.d.Ledger.ScansBefore(ctx, server, beforeID, limit)
	return ingest.PageOf(scans, limit, func(s ingest.Scan) int64 { return s.ID }), err
}

// uuidOf returns the uuid of the server, which may be removed; empty stays empty.
func (s *Service) uuidOf(ctx context.Context, nameOrUUID string) (string, error) {
	if nameOrUUID == "" {
		return "", nil
	}
	found, err := s.d.Ledger.ServerUUID(ctx, nameOrUUID)
	if ingest.IsMissingRow(err) {
		return "", errNoServer(nameOrUUID)
	}
	return found, err
}

// GetServerScan implements Scans.
func (s *Service) GetServerScan(ctx context.Context, id int64) (ingest.Scan, error) {
	scan, err := s.d.Ledger.Scan(ctx, id)
	if ingest.IsMissingRow(err) {
		return scan, notFound("there is no listing %d: GET /api/v1/scans lists them", id)
	}
	return scan, err
}

// MaxFailureGroups is the number of groups that ListFailures returns at most.
const MaxFailureGroups = 100

// ListFailures implements Files.
func (s *Service) ListFailures(ctx context.Context, server string) (groups []ingest.FailureGroup, more bool, err error) {
	server, err = s.uuidOf(ctx, server)
	if err != nil {
		return nil, false, err
	}
	groups, err = s.d.Ledger.FailureGroups(ctx, server, MaxFailureGroups+1)
	if len(groups) > MaxFailureGroups {
		return groups[:MaxFailureGroups], true, err
	}
	return groups, false, err
}

// Statistics implements Monitor.
func (s *Service) Statistics(ctx context.Context, server string, period ingest.Period) (ingest.Statistics, error) {
	server, err := s.uuidOf(ctx, server)
	if err != nil {
		return ingest.Statistics{}, err
	}
	return s.d.Ledger.Statistics(ctx, server, period)
}

// ListReconciliations implements Scans.
func (s *Service) ListReconciliations(ctx context.Context, beforeID int64, limit int) (page ingest.Page[ingest.Reconciliation], err error) {
	runs, err := s.d.Ledger.ReconciliationsBefore(ctx, beforeID, limit)
	return ingest.PageOf(runs, limit, func(r ingest.Reconciliation) int64 { return r.ID }), err
}
