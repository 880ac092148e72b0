package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const unchangedFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.status IN ('downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'error')
	AND (f.updated_at < now() - $1::interval OR f.updated_at > now() + interval '1 minute')
	AND f.error_kind IS DISTINCT FROM 'unsettled' AND f.id > $2 ORDER BY f.id LIMIT $3`

// UnchangedFiles returns files in flight or in error whose row has not changed for the duration, with
// ids above afterID, ordered by id. Most are waiting legitimately, which only their workflows
// can confirm. Rows with a time in the future, written before the clock was set back, are
// included. Unsettled files are excluded, as they have no workflow.
func (s *Store) UnchangedFiles(ctx context.Context, unchanged time.Duration, afterID int64, limit int) ([]ingest.File, error) {
	return s.manyFiles(ctx, "list unchanged files", unchangedFiles, unchanged, afterID, limit)
}

const completedWithin = `SELECT ` + fileColumns + fromFiles + `
WHERE f.status = 'completed' AND f.completed_at >= now() - $1::interval AND f.id > $2 ORDER BY f.id LIMIT $3`

// CompletedWithin returns files completed within the duration, with ids above afterID, ordered
// by id.
func (s *Store) CompletedWithin(ctx context.Context, within time.Duration, afterID int64, limit int) ([]ingest.File, error) {
	return s.manyFiles(ctx, "list completed files", completedWithin, within, afterID, limit)
}

const upsertHost = `
INSERT INTO worker_hosts (host_id) VALUES ($1)
ON CONFLICT (host_id) DO UPDATE SET last_seen = now()`

// RecordHeartbeat records a heartbeat of the worker with the staging volume.
func (s *Store) RecordHeartbeat(ctx context.Context, hostID string) error {
	return s.exec(ctx, "record a worker", upsertHost, cleanText(hostID))
}

const hostSeen = `SELECT EXISTS (SELECT FROM worker_hosts WHERE host_id = $1 AND last_seen >= now() - $2::interval)`

// HostSeen reports whether the worker with the staging volume sent a heartbeat within the
// duration, by the database's clock.
func (s *Store) HostSeen(ctx context.Context, hostID string, within time.Duration) (seen bool, err error) {
	err = s.retry(ctx, "look up a worker", func() error {
		return s.pool.QueryRow(ctx, hostSeen, cleanText(hostID), within).Scan(&seen)
	})
	return seen, err
}

const knownHosts = `SELECT host_id FROM worker_hosts WHERE last_seen >= now() - $1::interval ORDER BY host_id`

// Hosts returns the ids of the staging volumes with a heartbeat within the duration.
func (s *Store) Hosts(ctx context.Context, within time.Duration) (hosts []string, err error) {
	return selectAll(ctx, s, "list workers", pgx.RowTo[string], knownHosts, within)
}

const recordReconciliation = `
INSERT INTO reconciliations (run_key, started_at, requeued, restarted, uploads_aborted, staging_removed, objects_missing, hosts_silent, findings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (run_key) DO NOTHING`

// RecordReconciliation records the results of a run. A run with the same key is written once.
func (s *Store) RecordReconciliation(ctx context.Context, r ingest.Reconciliation) error {
	return s.exec(ctx, "record a reconciliation", recordReconciliation, cleanText(r.Key), r.StartedAt, r.Requeued, r.Restarted, r.UploadsAborted, r.StagingRemoved, r.ObjectsMissing, r.HostsSilent, nonNil(r.Findings))
}

const reconciliationsBefore = `
SELECT id, run_key, started_at, finished_at, requeued, restarted, uploads_aborted, staging_removed, objects_missing, hosts_silent, findings
FROM reconciliations WHERE id < $1 ORDER BY id DESC LIMIT $2`

// ReconciliationsBefore returns runs with ids below beforeID, newest first; beforeID 0 starts
// with the newest. limit is the page size: default 100, at most 1000.
func (s *Store) ReconciliationsBefore(ctx context.Context, beforeID int64, limit int) (runs []ingest.Reconciliation, err error) {
	return selectAll(ctx, s, "list reconciliations", scanReconciliation, reconciliationsBefore, planned([]any{before(beforeID), pageSize(limit)})...)
}

func scanReconciliation(row pgx.CollectableRow) (r ingest.Reconciliation, err error) {
	err = row.Scan(&r.ID, &r.Key, &r.StartedAt, &r.FinishedAt, &r.Requeued, &r.Restarted, &r.UploadsAborted, &r.StagingRemoved,
		&r.ObjectsMissing, &r.HostsSilent, &r.Findings)
	r.StartedAt, r.FinishedAt = r.StartedAt.UTC(), r.FinishedAt.UTC()
	return r, err
}
