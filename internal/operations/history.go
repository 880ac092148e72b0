package operations

import (
	"context"

	"stevedore/internal/ingest"
)

// ListScans implements Scans.
func (s *Service) ListScans(ctx context.Context, server string, beforeID int64, limit int) (page ingest.Page[ingest.Scan], err error) {
	ledger, server, err := s.ledgerFor(ctx, server)
	if err != nil {
		return page, err
	}
	scans, err := ledger.ScansBefore(ctx, server, beforeID, limit)
	return ingest.PageOf(scans, limit, func(s ingest.Scan) int64 { return s.ID }), err
}

// ledgerFor returns the ledger and the uuid of the server; empty stays empty.
func (s *Service) ledgerFor(ctx context.Context, nameOrUUID string) (ledger Ledger, uuid string, err error) {
	if nameOrUUID != "" {
		server, err := s.GetServer(ctx, nameOrUUID)
		if err != nil {
			return nil, "", err
		}
		uuid = server.UUID
	}
	ledger, err = s.d.Ledger(ctx)
	return ledger, uuid, err
}

// GetServerScan implements Scans.
func (s *Service) GetServerScan(ctx context.Context, id int64) (ingest.Scan, error) {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return ingest.Scan{}, err
	}
	scan, err := ledger.Scan(ctx, id)
	if isMissing(err) {
		return scan, notFound("there is no listing %d: GET /api/v1/scans lists them", id)
	}
	return scan, err
}

// MaxFailureGroups is the number of groups that ListFailures returns at most.
const MaxFailureGroups = 100

// ListFailures implements Files.
func (s *Service) ListFailures(ctx context.Context, server string) (groups []ingest.FailureGroup, more bool, err error) {
	ledger, server, err := s.ledgerFor(ctx, server)
	if err != nil {
		return nil, false, err
	}
	groups, err = ledger.FailureGroups(ctx, server, MaxFailureGroups+1)
	if len(groups) > MaxFailureGroups {
		return groups[:MaxFailureGroups], true, err
	}
	return groups, false, err
}

// Statistics implements Monitor.
func (s *Service) Statistics(ctx context.Context, server string, period ingest.Period) (ingest.Statistics, error) {
	ledger, server, err := s.ledgerFor(ctx, server)
	if err != nil {
		return ingest.Statistics{}, err
	}
	return ledger.Statistics(ctx, server, period)
}

// ListReconciliations implements Scans.
func (s *Service) ListReconciliations(ctx context.Context, beforeID int64, limit int) (page ingest.Page[ingest.Reconciliation], err error) {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	runs, err := ledger.ReconciliationsBefore(ctx, beforeID, limit)
	return ingest.PageOf(runs, limit, func(r ingest.Reconciliation) int64 { return r.ID }), err
}

// LastEventID implements Events.
func (s *Service) LastEventID(ctx context.Context) (int64, error) {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return 0, err
	}
	return ledger.LastEventID(ctx)
}

// EventsAfter implements Events.
func (s *Service) EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error) {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.EventsAfter(ctx, afterID, limit)
}

// BeginAnswer implements Answers.
func (s *Service) BeginAnswer(ctx context.Context, key ingest.AnswerKey, digest []byte) (known ingest.Answer, begun bool, err error) {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return known, false, err
	}
	return ledger.BeginAnswer(ctx, key, digest)
}

// KeepAnswer implements Answers.
func (s *Service) KeepAnswer(ctx context.Context, key ingest.AnswerKey, answer ingest.Answer) error {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return err
	}
	return ledger.KeepAnswer(ctx, key, answer)
}
