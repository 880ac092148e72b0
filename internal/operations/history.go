package operations

import (
	"context"

	"stevedore/internal/ingest"
)

// ListScans implements Scans.
func (s *Service) ListScans(ctx context.Context, server string, beforeID int64, limit int) (page ingest.Page[ingest.Scan], err error) {
	if server != "" {
		found, err := s.GetServer(ctx, server)
		if err != nil {
			return page, err
		}
		server = found.UUID
	}
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	scans, err := ledger.ScansBefore(ctx, server, beforeID, limit)
	return ingest.PageOf(scans, limit, func(s ingest.Scan) int64 { return s.ID }), err
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
