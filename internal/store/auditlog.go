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

const insertOutcome = `
INSERT INTO audit_outcomes (entry_key, outcome, error) SELECT entry_key, $2, $3 FROM audit_log WHERE entry_key = $1
ON CONFLICT (entry_key) DO NOTHING`

// CompleteEntry records the outcome of the audit entry with the key. The first outcome counts.
func (s *Store) CompleteEntry(ctx context.Context, key string, outcome ingest.ActionOutcome, reason string) error {
	return s.exec(ctx, "complete the audit log", insertOutcome, key, string(outcome), cleanText(reason))
}

const auditPage = `
SELECT a.id, a.entry_key, a.at, a.actor, a.role, a.action, a.target, a.details, coalesce(o.outcome, 'unknown'), coalesce(o.error, '')
FROM audit_log a LEFT JOIN audit_outcomes o USING (entry_key)
WHERE `

// AuditLog returns the selected entries, newest first.
func (s *Store) AuditLog(ctx context.Context, filter ingest.AuditFilter) (entries []ingest.AuditEntry, err error) {
	var c conditions
	c.add("a.id < %s", before(filter.BeforeID))
	for column, value := range map[string]string{"actor": filter.Actor, "action": filter.Action, "target": filter.Target} {
		if value != "" {
			c.add("a."+column+" = %s", cleanText(value))
		}
	}
	if !filter.From.IsZero() {
		c.add("a.at >= %s", filter.From)
	}
	if !filter.To.IsZero() {
		c.add("a.at < %s", filter.To)
	}
	query := auditPage + c.where() + " ORDER BY a.id DESC LIMIT " + c.arg(pageSize(filter.Limit))
	return selectAll(ctx, s, "read the audit log", scanAudit, query, planned(c.args)...)
}

func scanAudit(row pgx.CollectableRow) (e ingest.AuditEntry, err error) {
	err = row.Scan(&e.ID, &e.Key, &e.At, &e.Actor, &e.Role, &e.Action, &e.Target, &e.Details, &e.Outcome, &e.Error)
	e.At = e.At.UTC()
	return e, err
}
