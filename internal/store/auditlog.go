package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const insertAudit = `
INSERT INTO audit_log (entry_key, actor, role, action, target, details) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
ON CONFLICT (entry_key) DO NOTHING`

// Record adds an entry to the audit log. An entry with the same key is written once.
func (s *Store) Record(ctx context.Context, e ingest.AuditEntry) error {
	details, err := cleanDetails(e.Details)
	if err != nil {
		return ingest.Wrap(ingest.KindInvalid, err, "audit entry %s", e.Action)
	}
	return s.exec(ctx, "write the audit log", insertAudit, e.Key, cleanText(e.Actor), string(e.Role), e.Action, cleanText(e.Target), details)
}

const auditPage = `
SELECT id, entry_key, at, actor, role, action, target, details FROM audit_log
WHERE id < $1 ORDER BY id DESC LIMIT $2`

// AuditLog returns entries with ids below beforeID, newest first; beforeID 0 starts with the
// newest. limit is the page size: default 100, at most 1000.
func (s *Store) AuditLog(ctx context.Context, beforeID int64, limit int) (entries []ingest.AuditEntry, err error) {
	return selectAll(ctx, s, "read the audit log", scanAudit, auditPage, planned([]any{before(beforeID), pageSize(limit)})...)
}

func scanAudit(row pgx.CollectableRow) (e ingest.AuditEntry, err error) {
	err = row.Scan(&e.ID, &e.Key, &e.At, &e.Actor, &e.Role, &e.Action, &e.Target, &e.Details)
	e.At = e.At.UTC()
	return e, err
}
