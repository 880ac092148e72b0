package access

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
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

// AuditTrail adds entries about the context's principal to the audit log.
type AuditTrail struct {
	To Recorder
	// Log receives outcomes that could not be recorded.
	Log *slog.Logger
}

// Record adds an entry and returns its key. Callers record a change before they make it and
// after all checks that do not need it: no change is made without an entry, and an entry may
// describe an attempt.
func (t AuditTrail) Record(ctx context.Context, action, target string, details map[string]any) (key string, err error) {
	who := From(ctx)
	key = uuid.NewString()
	return key, t.To.Record(ctx, ingest.AuditEntry{
		Key: key, Actor: who.Name, Role: who.Role, Action: action, Target: target, Details: details,
	})
}

// Unconfirmed marks the error of an action that may still be carried out. Its outcome remains
// unknown in the audit log.
func Unconfirmed(err error) error { return unconfirmedError{err} }

type unconfirmedError struct{ error }

func (e unconfirmedError) Unwrap() error { return e.error }

// Do adds an entry, runs the action with the entry's key and records its outcome, also when
// the caller left. If that fails, the outcome remains unknown, because the action has
// happened. It also remains unknown after an error from Unconfirmed.
func (t AuditTrail) Do(ctx context.Context, action, target string, details map[string]any, do func(key string) error) error {
	key, err := t.Record(ctx, action, target, details)
	if err != nil {
		return err
	}
	err = do(key)
	if errors.As(err, new(unconfirmedError)) {
		return err
	}
	outcome, reason := ingest.ActionDone, ""
	if err != nil {
		outcome, reason = ingest.ActionFailed, ingest.Message(err)
	}
	completing, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer cancel()
	if lost := t.To.CompleteEntry(completing, key, outcome, reason); lost != nil {
		t.Log.ErrorContext(ctx, "cannot record the outcome of an action in the audit log",
			"action", action, "target", target, "outcome", outcome, "entry", key, "error", lost)
	}
	return err
}

// AuditLog implements Access.
func (s *Service) AuditLog(ctx context.Context, filter ingest.AuditFilter) (page ingest.Page[ingest.AuditEntry], err error) {
	if filter.Action != "" && !slices.Contains(ingest.AuditActions, filter.Action) { // it would select nothing
		wrong := ingest.FieldErrors{{Field: "action", Message: "action: use one of " + strings.Join(ingest.AuditActions, ", ")}}
		return page, wrong.Err("the audit log has no such action")
	}
	entries, err := s.ledger.AuditLog(ctx, filter)
	return ingest.PageOf(entries, filter.Limit, func(e ingest.AuditEntry) int64 { return e.ID }), err
}
