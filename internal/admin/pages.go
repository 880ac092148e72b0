package admin

import (
	"context"

	"stevedore/internal/ingest"
)

// History is the record of what was done, and of requests that may be repeated.
type History interface {
	// ScansBefore and ReconciliationsBefore return pages, the latest first, from
	// before the id; 0 begins with the latest.
	ScansBefore(ctx context.Context, serverUUID string, beforeID int64, limit int) ([]ingest.Scan, error)
	ReconciliationsBefore(ctx context.Context, beforeID int64, limit int) ([]ingest.Reconciliation, error)
	// LastEventID and EventsAfter follow what happens to all files.
	LastEventID(ctx context.Context) (int64, error)
	EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error)
	// BeginAnswer and KeepAnswer remember answers, see package store.
	BeginAnswer(ctx context.Context, key ingest.AnswerKey, digest []byte) (known ingest.Answer, begun bool, err error)
	KeepAnswer(ctx context.Context, key ingest.AnswerKey, answer ingest.Answer) error
}

// ScanPage is one page of listings.
type ScanPage struct {
	Scans []ingest.Scan
	// Next is the id to go on before; 0 on the last page.
	Next int64
}

// ListScans returns listings, the latest first; server, a name or uuid, may be
// empty for all.
func (a *Admin) ListScans(ctx context.Context, server string, beforeID int64, limit int) (page ScanPage, err error) {
	if server != "" {
		found, err := a.ShowServer(ctx, server)
		if err != nil {
			return page, err
		}
		server = found.UUID
	}
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	page.Scans, err = ledger.ScansBefore(ctx, server, beforeID, limit)
	if len(page.Scans) == limit {
		page.Next = page.Scans[limit-1].ID
	}
	return page, err
}

// ReconciliationPage is one page of the reconciler's runs.
type ReconciliationPage struct {
	Runs []ingest.Reconciliation
	// Next is the id to go on before; 0 on the last page.
	Next int64
}

// ListReconciliations returns the reconciler's runs, the latest first.
func (a *Admin) ListReconciliations(ctx context.Context, beforeID int64, limit int) (page ReconciliationPage, err error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return page, err
	}
	page.Runs, err = ledger.ReconciliationsBefore(ctx, beforeID, limit)
	if len(page.Runs) == limit {
		page.Next = page.Runs[limit-1].ID
	}
	return page, err
}

// LastEventID returns the id of the latest event of all files.
func (a *Admin) LastEventID(ctx context.Context) (int64, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return 0, err
	}
	return ledger.LastEventID(ctx)
}

// EventsAfter returns what happened to all files after the event with the id,
// none left out.
func (a *Admin) EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	return ledger.EventsAfter(ctx, afterID, limit)
}

// BeginAnswer notes that a request is under way; see package store.
func (a *Admin) BeginAnswer(ctx context.Context, key ingest.AnswerKey, digest []byte) (known ingest.Answer, begun bool, err error) {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return known, false, err
	}
	return ledger.BeginAnswer(ctx, key, digest)
}

// KeepAnswer stores what a request was answered; status 0 forgets it.
func (a *Admin) KeepAnswer(ctx context.Context, key ingest.AnswerKey, answer ingest.Answer) error {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return err
	}
	return ledger.KeepAnswer(ctx, key, answer)
}
