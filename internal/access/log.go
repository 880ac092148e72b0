package access

import (
	"context"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// Recorder stores entries of the audit log.
type Recorder interface {
	// Record adds an entry to the audit log.
	Record(ctx context.Context, e ingest.AuditEntry) error
	// CompleteEntry records the outcome of the entry with the key, once. reason is the
	// reason of a failed action.
	CompleteEntry(ctx context.Context, key string, outcome ingest.ActionOutcome, reason string) error
}

// completeTimeout bounds recording an outcome after the caller left.
const completeTimeout = 5 * time.Second

// Recorded adds an entry like Record, runs the action with the entry's key and records its
// outcome, also when the caller left. If that fails, the outcome remains unknown, because
// the action has happened.
func Recorded(ctx context.Context, to Recorder, action, target string, details map[string]any, do func(key string) error) error {
	key, err := Record(ctx, to, action, target, details)
	if err != nil {
		return err
	}
	err = do(key)
	outcome, reason := ingest.ActionDone, ""
	if err != nil {
		outcome, reason = ingest.ActionFailed, ingest.Message(err)
	}
	completing, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer cancel()
	_ = to.CompleteEntry(completing, key, outcome, reason)
	return err
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

// AuditLog implements Access.
func (s *Service) AuditLog(ctx context.Context, filter ingest.AuditFilter) (page ingest.Page[ingest.AuditEntry], err error) {
	entries, err := s.ledger.AuditLog(ctx, filter)
	return ingest.PageOf(entries, filter.Limit, func(e ingest.AuditEntry) int64 { return e.ID }), err
}
