package access

import (
	"context"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// Recorder stores entries of the audit log.
type Recorder interface {
	// Record adds an entry to the audit log.
	Record(ctx context.Context, e ingest.AuditEntry) error
}

// Record adds an entry about the context's principal to the audit log and returns the
// entry's key. Callers record a change before they make it and after all checks that do
// not need it: no change is made without an entry, and an entry may describe an attempt.
func Record(ctx context.Context, to Recorder, action, target string, details map[string]any) (key string, err error) {
	who := From(ctx)
	key = uuid.NewString()
	return key, to.Record(ctx, ingest.AuditEntry{
		Key: key, Actor: who.Name, Role: who.Role, Action: action, Target: target, Details: details,
	})
}

// AuditLog returns a page of the audit log before the entry with the id, the latest
// entry first; 0 begins with the latest.
func (s *Service) AuditLog(ctx context.Context, beforeID int64, limit int) (page ingest.Page[ingest.AuditEntry], err error) {
	entries, err := s.ledger.AuditLog(ctx, beforeID, limit)
	return ingest.PageOf(entries, limit, func(e ingest.AuditEntry) int64 { return e.ID }), err
}
