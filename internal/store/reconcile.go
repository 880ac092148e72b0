package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const strandedFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.status IN ('downloading', 'downloaded', 'verified', 'uploading', 'uploaded', 'error')
	AND (f.updated_at < now() - $1::interval OR f.updated_at > now() + interval '1 minute')
	AND f.error_kind IS DISTINCT FROM 'unsettled' AND f.id > $2 ORDER BY f.id LIMIT $3`

// Unmoved returns files that are on their way or in error and whose row has
// not changed for the time, in order of id, after the given one. Most of them
// wait rightly: only their workflows know. Rows of the future were written before
// the clock went back. Files that never settle have no workflow and need none.
func (s *Store) Unmoved(ctx context.Context, unchanged time.Duration, afterID int64, limit int) ([]ingest.File, error) {
	return s.manyFiles(ctx, "list files that do not move", strandedFiles, unchanged, afterID, limit)
}

const completedFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.status = 'completed' AND f.completed_at >= now() - $1::interval AND f.id > $2 ORDER BY f.id LIMIT $3`

// CompletedWithin returns files that were completed within the time, in order
// of id, after the given one.
func (s *Store) CompletedWithin(ctx context.Context, within time.Duration, afterID int64, limit int) ([]ingest.File, error) {
	return s.manyFiles(ctx, "list completed files", completedFiles, within, afterID, limit)
}

const seeHost = `
INSERT INTO worker_hosts (host_id) VALUES ($1)
ON CONFLICT (host_id) DO UPDATE SET last_seen = now()`

// SeeHost notes that a worker with the staging volume lives.
func (s *Store) SeeHost(ctx context.Context, hostID string) error {
	return s.retry(ctx, "note a worker", func() error {
		_, err := s.pool.Exec(ctx, seeHost, cleanText(hostID))
		return err
	})
}

const hostSeen = `SELECT EXISTS (SELECT FROM worker_hosts WHERE host_id = $1 AND last_seen >= now() - $2::interval)`

// HostSeen reports whether the worker with the staging volume was seen within
// the time, by the database's clock.
func (s *Store) HostSeen(ctx context.Context, hostID string, within time.Duration) (seen bool, err error) {
	err = s.retry(ctx, "look for a worker", func() error {
		return s.pool.QueryRow(ctx, hostSeen, cleanText(hostID), within).Scan(&seen)
	})
	return seen, err
}

const knownHosts = `SELECT host_id FROM worker_hosts WHERE last_seen >= now() - $1::interval ORDER BY host_id`

// Hosts returns the ids of the staging volumes that were seen within the time.
func (s *Store) Hosts(ctx context.Context, within time.Duration) (hosts []string, err error) {
	err = s.retry(ctx, "list workers", func() error {
		rows, err := s.pool.Query(ctx, knownHosts, within)
		if err != nil {
			return err
		}
		hosts, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return hosts, err
}

const recordReconciliation = `
INSERT INTO reconciliations (run_key, started_at, requeued, restarted, uploads_aborted, staging_removed, objects_missing, hosts_silent, findings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (run_key) DO NOTHING`

// RecordReconciliation writes what a run did; the same key is written once.
func (s *Store) RecordReconciliation(ctx context.Context, r ingest.Reconciliation) error {
	return s.retry(ctx, "record a reconciliation", func() error {
		_, err := s.pool.Exec(ctx, recordReconciliation, cleanText(r.Key), r.StartedAt, r.Requeued, r.Restarted,
			r.UploadsAborted, r.StagingRemoved, r.ObjectsMissing, r.HostsSilent, nonNil(r.Findings))
		return err
	})
}

const lastReconciliations = `
SELECT run_key, started_at, requeued, restarted, uploads_aborted, staging_removed, objects_missing, hosts_silent, findings
FROM reconciliations ORDER BY id DESC LIMIT $1`

// Reconciliations returns the latest runs, newest first.
func (s *Store) Reconciliations(ctx context.Context, limit int) (runs []ingest.Reconciliation, err error) {
	err = s.retry(ctx, "list reconciliations", func() error {
		rows, err := s.pool.Query(ctx, lastReconciliations, pageSize(limit))
		if err != nil {
			return err
		}
		runs, err = pgx.CollectRows(rows, scanReconciliation)
		return err
	})
	return runs, err
}

func scanReconciliation(row pgx.CollectableRow) (r ingest.Reconciliation, err error) {
	err = row.Scan(&r.Key, &r.StartedAt, &r.Requeued, &r.Restarted, &r.UploadsAborted, &r.StagingRemoved,
		&r.ObjectsMissing, &r.HostsSilent, &r.Findings)
	r.StartedAt = r.StartedAt.UTC()
	return r, err
}
