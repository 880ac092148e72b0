package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const scansBefore = `
SELECT c.id, c.server_uuid, c.started_at, c.finished_at, c.seen, c.new, c.settling, c.rejected, c.errors, coalesce(c.error, ''), s.name
FROM scans c JOIN sftp_servers s USING (server_uuid)
WHERE ($1 = 0 OR c.id < $1) AND ($2 = '' OR c.server_uuid::text = $2) ORDER BY c.id DESC LIMIT $3`

// ScansBefore returns listings of all servers, or of the one with the uuid, the
// latest first, from before the given id; 0 begins with the latest.
func (s *Store) ScansBefore(ctx context.Context, serverUUID string, beforeID int64, limit int) (scans []ingest.Scan, err error) {
	err = s.retry(ctx, "list scans", func() error {
		rows, err := s.pool.Query(ctx, scansBefore, beforeID, serverUUID, pageSize(limit))
		if err != nil {
			return err
		}
		scans, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (v ingest.Scan, err error) {
			var finished *time.Time
			err = row.Scan(&v.ID, &v.ServerUUID, &v.StartedAt, &finished, &v.Seen, &v.New, &v.Settling, &v.Rejected, &v.Errors, &v.Error, &v.ServerName)
			v.StartedAt, v.FinishedAt = v.StartedAt.UTC(), utc(finished)
			return v, err
		})
		return err
	})
	return scans, err
}

const reconciliationsBefore = `
SELECT id, run_key, started_at, finished_at, requeued, restarted, uploads_aborted, staging_removed, objects_missing, hosts_silent, findings
FROM reconciliations WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2`

// ReconciliationsBefore returns runs, the latest first, from before the given
// id; 0 begins with the latest.
func (s *Store) ReconciliationsBefore(ctx context.Context, beforeID int64, limit int) (runs []ingest.Reconciliation, err error) {
	err = s.retry(ctx, "list reconciliations", func() error {
		rows, err := s.pool.Query(ctx, reconciliationsBefore, beforeID, pageSize(limit))
		if err != nil {
			return err
		}
		runs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r ingest.Reconciliation, err error) {
			err = row.Scan(&r.ID, &r.Key, &r.StartedAt, &r.FinishedAt, &r.Requeued, &r.Restarted, &r.UploadsAborted, &r.StagingRemoved,
				&r.ObjectsMissing, &r.HostsSilent, &r.Findings)
			r.StartedAt, r.FinishedAt = r.StartedAt.UTC(), r.FinishedAt.UTC()
			return r, err
		})
		return err
	})
	return runs, err
}
