package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// failLostAudits fails audits whose process died before it began them.
	deleteOldAudits = `DELETE FROM audit_runs WHERE started_at < now() - interval '90 days'`
	failLostAudits  = `
UPDATE audit_runs SET state = 'failed', finished_at = now(), error = 'the audit was never carried out: start another'
WHERE state = 'running' AND started_at < now() - interval '2 days'`

	insertAuditRun = `
INSERT INTO audit_runs (run_uuid, actor, servers, deep) VALUES ($1, $2, $3, $4) ON CONFLICT (run_uuid) DO NOTHING`
)

// AddAuditRun records an audit before it begins. It is idempotent, and returns KindConflict
// while another audit runs.
func (s *Store) AddAuditRun(ctx context.Context, run ingest.AuditRun) error {
	id, err := validUUID("audit with uuid", run.UUID)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "record an audit", func(tx pgx.Tx) error {
		for _, statement := range []string{deleteOldAudits, failLostAudits} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if err := refuseSecondAudit(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertAuditRun, id, cleanText(run.Actor), nonNil(run.Servers), run.Deep)
		return err
	})
}

const (
	// auditLock serializes the recording of audits.
	auditLock = `SELECT pg_advisory_xact_lock(7305514219)`
	// An audit is bounded to a day.
	runningAudit = `
SELECT run_uuid, actor FROM audit_runs WHERE state = 'running' AND run_uuid <> $1 AND started_at > now() - interval '25 hours' LIMIT 1`
)

// refuseSecondAudit returns KindConflict while another audit runs: each reads the whole ledger
// and lists servers, which slows the ingest of files.
func refuseSecondAudit(ctx context.Context, tx pgx.Tx, runUUID string) error {
	if _, err := tx.Exec(ctx, auditLock); err != nil {
		return err
	}
	var other, actor string
	err := tx.QueryRow(ctx, runningAudit, runUUID).Scan(&other, &actor)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return ingest.Errorf(ingest.KindConflict, "audit %s of %s is running, and only one may run at a time: wait for its end, or cancel its workflow", other, actor)
}

const (
	// Each attempt starts again from the beginning.
	beginAudit = `
UPDATE audit_runs SET attempt = attempt + 1, sources = 0, files = 0, objects = 0, bytes = 0, pending = 0, missing = 0, extra = 0, wrong = 0, not_audited = 0
WHERE run_uuid = $1 AND state = 'running' RETURNING id, attempt`
	deleteDiscrepancies = `DELETE FROM audit_differences WHERE run_id = $1`
)

// BeginAudit starts an attempt of the audit and returns its number. Earlier attempts are
// fenced. It returns KindConflict if the audit has ended.
func (s *Store) BeginAudit(ctx context.Context, runUUID string) (run ingest.AuditRun, attempt int64, err error) {
	if run, err = s.AuditRun(ctx, runUUID); err != nil {
		return run, 0, err
	}
	err = s.inTx(ctx, "begin an audit", func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, beginAudit, runUUID).Scan(&id, &attempt)
		if errors.Is(err, pgx.ErrNoRows) {
			return ingest.Errorf(ingest.KindConflict, "audit %s has ended", runUUID)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, deleteDiscrepancies, id)
		return err
	})
	return run, attempt, err
}

const (
	countAudit = `
UPDATE audit_runs SET sources = $3, files = $4, objects = $5, bytes = $6, pending = $7, missing = $8, extra = $9, wrong = $10, not_audited = $11
WHERE run_uuid = $1 AND attempt = $2 AND state = 'running' RETURNING id`

	insertDiscrepancies = `
INSERT INTO audit_differences (run_id, seq, mark, what, why, server, path, file_uuid, sides)
SELECT @run, d.seq, d.mark, d.what, d.why, d.server, d.path, nullif(d.file_uuid, '')::uuid, d.sides::jsonb
FROM unnest(@seqs::bigint[], @marks::text[], @whats::text[], @whys::text[], @servers::text[], @paths::text[], @files::text[], @sides::text[])
	AS d (seq, mark, what, why, server, path, file_uuid, sides)
ON CONFLICT (run_id, seq) DO NOTHING`
)

// NoteAudit records the attempt's counts and the discrepancies found since the last call. It
// returns KindFenced if a newer attempt has begun or the audit has ended.
func (s *Store) NoteAudit(ctx context.Context, runUUID string, attempt int64, counts ingest.AuditCounts, found []ingest.Discrepancy) error {
	return s.inTx(ctx, "record discrepancies of an audit", func(tx pgx.Tx) error {
		id, err := countAuditRun(ctx, tx, runUUID, attempt, counts)
		if err != nil || len(found) == 0 {
			return err
		}
		sides := make([]string, len(found))
		for i, d := range found {
			encoded, err := json.Marshal(d.Sides)
			if err != nil {
				return err
			}
			sides[i] = cleanText(string(encoded))
		}
		text := func(part func(ingest.Discrepancy) string) []string {
			return column(found, func(d ingest.Discrepancy) string { return cleanText(part(d)) })
		}
		_, err = tx.Exec(ctx, insertDiscrepancies, pgx.NamedArgs{
			"run": id, "sides": sides,
			"seqs":    column(found, func(d ingest.Discrepancy) int64 { return d.Seq }),
			"marks":   text(func(d ingest.Discrepancy) string { return string(d.Mark) }),
			"whats":   text(func(d ingest.Discrepancy) string { return d.What }),
			"whys":    text(func(d ingest.Discrepancy) string { return d.Why }),
			"servers": text(func(d ingest.Discrepancy) string { return d.Server }),
			"paths":   text(func(d ingest.Discrepancy) string { return d.Path }),
			"files":   text(func(d ingest.Discrepancy) string { return d.FileUUID }),
		})
		return err
	})
}

func countAuditRun(ctx context.Context, tx pgx.Tx, runUUID string, attempt int64, c ingest.AuditCounts) (id int64, err error) {
	err = tx.QueryRow(ctx, countAudit, runUUID, attempt, c.Sources, c.Files, c.Objects, c.Bytes, c.Pending, c.Missing, c.Extra, c.Wrong, c.NotAudited).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ingest.Errorf(ingest.KindFenced, "attempt %d of audit %s is over", attempt, runUUID)
	}
	return id, err
}

const endAudit = `UPDATE audit_runs SET state = $2, finished_at = now(), error = nullif($3, '') WHERE run_uuid = $1 AND state = 'running'`

// EndAudit closes an audit; failure is the reason of a failed one, empty on success. An audit
// that has ended is not changed.
func (s *Store) EndAudit(ctx context.Context, runUUID, failure string) error {
	state := ingest.AuditCompleted
	if failure != "" {
		state = ingest.AuditFailed
	}
	return s.exec(ctx, "close an audit", endAudit, runUUID, string(state), cleanText(failure))
}

const auditRunColumns = `SELECT id, run_uuid, state, actor, servers, deep, started_at, finished_at, sources, files, objects, bytes, pending,
	missing, extra, wrong, not_audited, coalesce(error, '') FROM audit_runs `

func scanAuditRun(row pgx.CollectableRow) (r ingest.AuditRun, err error) {
	var finished *time.Time
	err = row.Scan(&r.ID, &r.UUID, &r.State, &r.Actor, &r.Servers, &r.Deep, &r.StartedAt, &finished, &r.Sources, &r.Files, &r.Objects,
		&r.Bytes, &r.Pending, &r.Missing, &r.Extra, &r.Wrong, &r.NotAudited, &r.Error)
	r.StartedAt, r.FinishedAt = r.StartedAt.UTC(), utc(finished)
	return r, err
}

// AuditRun returns the audit with the uuid, or KindMissing.
func (s *Store) AuditRun(ctx context.Context, runUUID string) (run ingest.AuditRun, err error) {
	id, err := validUUID("audit with uuid", runUUID)
	if err != nil {
		return run, err
	}
	return selectOne(ctx, s, "look up an audit", errNo("audit with uuid", id), scanAuditRun, auditRunColumns+`WHERE run_uuid = $1`, id)
}

// AuditRuns returns audits with ids below beforeID, newest first; beforeID 0 starts with the
// newest.
func (s *Store) AuditRuns(ctx context.Context, beforeID int64, limit int) (runs []ingest.AuditRun, err error) {
	return selectAll(ctx, s, "list audits", scanAuditRun, auditRunColumns+`WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2`, beforeID, pageSize(limit))
}

const discrepanciesPage = `
SELECT d.seq, d.mark, d.what, d.why, d.server, d.path, coalesce(d.file_uuid::text, ''), d.sides
FROM audit_differences d JOIN audit_runs r ON r.id = d.run_id WHERE r.run_uuid = $1 AND d.seq > $2 ORDER BY d.seq LIMIT $3`

// ListDiscrepancies returns the discrepancies of an audit with sequence numbers above afterSeq.
func (s *Store) ListDiscrepancies(ctx context.Context, runUUID string, afterSeq int64, limit int) (found []ingest.Discrepancy, err error) {
	return selectAll(ctx, s, "list discrepancies", pgx.RowToStructByPos[ingest.Discrepancy], discrepanciesPage, runUUID, afterSeq, pageSize(limit))
}
