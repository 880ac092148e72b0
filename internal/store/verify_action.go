package store

import (
	"context"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// isVerified reports whether the audit log has the entry that the API writes before it sends an
// operator action, and whether no other action refers to that entry.
const isVerified = `
SELECT EXISTS (SELECT FROM audit_log WHERE entry_key = $1 AND target = $2 AND action = 'file.' || $3 AND actor = $4)
	AND NOT EXISTS (
		SELECT FROM file_events e JOIN files f ON f.id = e.file_id
		WHERE f.file_uuid = $5 AND e.event_type = 'operator_action' AND e.details->>'entry' = $6 AND e.fact_key <> $7)`

// VerifyAction reports whether an operator action came through the API or the command line, which
// record it before they send it. An action sent to Temporal directly is recorded in the audit
// log once, as unverified: its sender was not authorized.
func (s *Store) VerifyAction(ctx context.Context, fileUUID string, action ingest.OperatorAction) (verified bool, err error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return false, err
	}
	if entry, err := uuid.Parse(action.Entry); err == nil {
		err = s.retry(ctx, "verify an operator action", func() error {
			return s.pool.QueryRow(ctx, isVerified, entry.String(), id, action.Action, cleanText(action.Actor), id, entry.String(), action.Key).Scan(&verified)
		})
		if err != nil || verified {
			return verified, err
		}
	}
	return false, s.Record(ctx, ingest.AuditEntry{
		Key:   uuid.NewSHA1(uuid.NameSpaceOID, []byte("unverified "+action.Key)).String(),
		Actor: ingest.Unverified, Role: ingest.RoleOperator, Action: "file." + string(action.Action), Target: id,
		Details: map[string]any{"verified": false, "claimed_actor": action.Actor, "reason": action.Reason, "from": action.From},
	})
}
