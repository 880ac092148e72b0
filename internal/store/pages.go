package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const scansBefore = `
SELECT c.id, c.server_uuid, c.started_at, c.finished_at, c.seen, c.new, c.settling, c.rejected, c.errors, coalesce(c.error, ''), c.unread, coalesce(c.note, ''), s.name
FROM (SELECT * FROM scans WHERE id < $1 %s ORDER BY id DESC LIMIT $2) c JOIN sftp_servers s USING (server_uuid)
ORDER BY c.id DESC`

// before returns the id that all of a page are below; 0 begins with the latest.
func before(id int64) int64 {
	if id == 0 {
		return lastID
	}
	return id
}

// ScansBefore returns listings of all servers, or of the one with the uuid, the
// latest first, from before the given id; 0 begins with the latest.
func (s *Store) ScansBefore(ctx context.Context, serverUUID string, beforeID int64, limit int) (scans []ingest.Scan, err error) {
	args, condition := []any{before(beforeID), pageSize(limit)}, ""
	if serverUUID != "" {
		id, err := validUUID("server with uuid", serverUUID)
		if err != nil {
			return nil, err
		}
		args, condition = append(args, id), "AND server_uuid = $3"
	}
	err = s.retry(ctx, "list scans", func() error {
		rows, err := s.pool.Query(ctx, fmt.Sprintf(scansBefore, condition), planned(args)...)
		if err != nil {
			return err
		}
		scans, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (v ingest.Scan, err error) {
			var finished *time.Time
			err = row.Scan(&v.ID, &v.ServerUUID, &v.StartedAt, &finished, &v.Seen, &v.New, &v.Settling, &v.Rejected, &v.Errors, &v.Error, &v.Unread, &v.Note, &v.ServerName)
			v.StartedAt, v.FinishedAt = v.StartedAt.UTC(), utc(finished)
			return v, err
		})
		return err
	})
	return scans, err
}

const reconciliationsBefore = `
SELECT id, run_key, started_at, finished_at, requeued, restarted, uploads_aborted, staging_removed, objects_missing, hosts_silent, findings
FROM reconciliations WHERE id < $1 ORDER BY id DESC LIMIT $2`

// ReconciliationsBefore returns runs, the latest first, from before the given
// id; 0 begins with the latest.
func (s *Store) ReconciliationsBefore(ctx context.Context, beforeID int64, limit int) (runs []ingest.Reconciliation, err error) {
	err = s.retry(ctx, "list reconciliations", func() error {
		rows, err := s.pool.Query(ctx, reconciliationsBefore, planned([]any{before(beforeID), pageSize(limit)})...)
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
