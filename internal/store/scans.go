package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// A repeated attempt opens its row again. One that finds it open follows an attempt
// that ended with its worker.
const startScan = `
WITH begun AS (
	INSERT INTO scans (server_uuid, scan_key) VALUES ($1, $2)
	ON CONFLICT (scan_key) DO UPDATE SET finished_at = NULL, error = NULL,
		died = CASE WHEN scans.finished_at IS NULL THEN scans.died + 1 ELSE 0 END
	RETURNING id, server_uuid, started_at
), marked AS (
	UPDATE sftp_servers s SET last_scan_at = greatest(CASE WHEN s.last_scan_at <= now() THEN s.last_scan_at END, begun.started_at)
	FROM begun WHERE s.server_uuid = begun.server_uuid
)
SELECT id FROM begun`

// StartScan opens a scan row and notes the server's last_scan_at; the same key
// gives the same row.
func (s *Store) StartScan(ctx context.Context, serverUUID, key string) (scanID int64, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return 0, err
	}
	err = s.inTx(ctx, "open a scan", func(tx pgx.Tx) error {
		if err := lockServerRow(ctx, tx, id); err != nil {
			return err
		}
		return tx.QueryRow(ctx, startScan, id, cleanText(key)).Scan(&scanID)
	})
	return scanID, err
}

const recorded = `
SELECT count(*) FILTER (WHERE f.status <> 'rejected'), count(*) FILTER (WHERE f.status = 'rejected')
FROM scans c JOIN files f ON f.server_uuid = c.server_uuid
WHERE c.id = $1 AND f.id > coalesce((
	SELECT o.id FROM files o WHERE o.server_uuid = c.server_uuid AND o.created_at < c.started_at ORDER BY o.id DESC LIMIT 1), 0)`

// Recorded returns how many rows of files were made since the scan began: what its
// attempts recorded, also those that ended with their workers.
func (s *Store) Recorded(ctx context.Context, scanID int64) (news, rejected int64, err error) {
	err = s.retry(ctx, "count what a scan recorded", func() error {
		return s.pool.QueryRow(ctx, recorded, scanID).Scan(&news, &rejected)
	})
	return news, rejected, err
}

// ScanDeaths returns how many attempts in a row, before the one under way, left the
// scan's row open: their workers ended, or were cut off.
func (s *Store) ScanDeaths(ctx context.Context, scanID int64) (deaths int, err error) {
	err = s.retry(ctx, "read scan", func() error {
		return s.pool.QueryRow(ctx, `SELECT died FROM scans WHERE id = $1`, scanID).Scan(&deaths)
	})
	return deaths, err
}

const (
	// $11 says that the listing, all of its attempts, has read every folder: what it did
	// not show is not there.
	finishScan = `
WITH forgotten AS (
	DELETE FROM names_aside a USING scans c WHERE c.id = $1 AND a.server_uuid = $2 AND a.listing <> c.scan_key AND $11
)
UPDATE scans SET finished_at = now(), seen = $3, new = $4, settling = $5, rejected = $6, errors = $7, error = nullif($8, ''),
	in_progress = $9, alone = $10, unread = $12, note = nullif($13, '')
WHERE id = $1 AND server_uuid = $2`

	// serverScanned updates the server after a listing: $2 is the failure, $3 says
	// that it suspends the server, $4 that success ends a suspension. The listing
	// began $5 ago; null when that is recorded already. $6 is what it could not read. A failure that needs no
	// person leaves the state unchanged, and a suspension that does not end here
	// keeps its reason.
	serverScanned = `
UPDATE sftp_servers SET
	last_scan_at = greatest(CASE WHEN last_scan_at <= now() THEN last_scan_at END, now() - $5::interval),
	last_error = CASE WHEN state = 'suspended' AND NOT ($3 OR $2 = '' AND $4) THEN last_error ELSE nullif($2, '') END,
	state = CASE WHEN $3 THEN 'suspended' WHEN $2 = '' AND $4 THEN 'ok' ELSE state END,
	unread = CASE WHEN $2 = '' THEN $6 ELSE unread END
WHERE server_uuid = $1 AND removed_at IS NULL`

	// wholeScan writes the row of a listing that opened none. A repeated attempt finds
	// its row.
	wholeScan = `
WITH server AS (` + serverScanned + ` RETURNING server_uuid), recorded AS (
	INSERT INTO scans (server_uuid, scan_key, started_at, finished_at, seen, new, settling, rejected, errors, error, in_progress, alone, unread, note)
	SELECT server_uuid, $7, now() - $5::interval, now(), $8, $9, $10, $11, $12, nullif($2, ''), $13, $14, $6, nullif($15, '') FROM server
	ON CONFLICT (scan_key) DO NOTHING
), forgotten AS (
	DELETE FROM names_aside WHERE server_uuid = $1 AND listing <> $7 AND $16
)
SELECT count(*) FROM server`
)

// FinishScan closes the scan with its counts and sets the server's last_error
// and state: suspended when the result says so, ok after a success that mends,
// otherwise, and always when the listing was broken off, as it is.
func (s *Store) FinishScan(ctx context.Context, scan ingest.ScanResult) error {
	id, err := validUUID("server with uuid", scan.ServerUUID)
	if err != nil {
		return err
	}
	if scan.ScanID == 0 {
		return s.retry(ctx, "record a scan", func() error { return s.recordScan(ctx, id, scan) })
	}
	return s.inTx(ctx, "close a scan", func(tx pgx.Tx) error { return closeScan(ctx, tx, id, scan) })
}

// closeScan is FinishScan for a listing that opened its row.
func closeScan(ctx context.Context, tx pgx.Tx, id string, scan ingest.ScanResult) error {
	if err := lockServerRow(ctx, tx, id); err != nil {
		return err
	}
	failure, c := failureLine(scan.Failure), scan.Counts
	tag, err := tx.Exec(ctx, finishScan, scan.ScanID, id, c.Seen, c.New, c.Settling, c.Rejected, c.Errors, failure,
		c.InProgress, c.Alone, scan.Entire, scan.Unread, cleanText(scan.Note))
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ingest.Errorf(ingest.KindMissing, "no scan %d of server %s", scan.ScanID, id)
	}
	if scan.Broken {
		return nil
	}
	_, err = tx.Exec(ctx, serverScanned, id, failure, scan.Suspend, scan.Mends, nil, scan.Unread)
	return err
}

// recordScan is FinishScan for a listing that opened no row: one statement, which
// is a transaction of its own.
func (s *Store) recordScan(ctx context.Context, id string, scan ingest.ScanResult) error {
	failure, c := failureLine(scan.Failure), scan.Counts
	var servers int
	err := s.pool.QueryRow(ctx, wholeScan, id, failure, scan.Suspend, scan.Mends, scan.Took, scan.Unread,
		cleanText(scan.Key), c.Seen, c.New, c.Settling, c.Rejected, c.Errors, c.InProgress, c.Alone, cleanText(scan.Note), scan.Entire).Scan(&servers)
	if err != nil || servers > 0 {
		return err
	}
	return serverThere(s.pool.QueryRow(ctx, lockServer, id), id) // why it was not updated
}

const serverToScan = `
SELECT ` + serverColumns + `, coalesce((
	SELECT extract(epoch FROM c.duration)::float8 FROM scans c
	WHERE c.server_uuid = s.server_uuid AND c.finished_at IS NOT NULL ORDER BY c.id DESC LIMIT 1), 0)
FROM sftp_servers s WHERE s.server_uuid = $1`

// ServerToScan returns the server and how long its last listing took; 0 before
// the first. KindMissing when there is no such server.
func (s *Store) ServerToScan(ctx context.Context, serverUUID string) (server ingest.Server, took time.Duration, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return server, 0, err
	}
	err = s.retry(ctx, "read server", func() error {
		var r serverRow
		var secs float64
		err := s.pool.QueryRow(ctx, serverToScan, id).Scan(append(r.targets(), &secs)...)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNo("server with uuid", id)
		}
		server, took = r.read(), seconds(secs)
		return err
	})
	return server, took, err
}

// dispatchable is whether a dispatcher of server $1 has anything to do: a slot is
// in use, or a file is ready or deferred.
const dispatchable = `
SELECT EXISTS (SELECT FROM slots x WHERE x.server_uuid = $1)
	OR EXISTS (SELECT FROM files f WHERE f.server_uuid = $1 AND f.status = 'ready')`

// Dispatchable reports whether the server has slots in use, or files that are
// ready or deferred.
func (s *Store) Dispatchable(ctx context.Context, serverUUID string) (some bool, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return false, err
	}
	err = s.retry(ctx, "look for ready files", func() error { return s.pool.QueryRow(ctx, dispatchable, id).Scan(&some) })
	return some, err
}

// failureLine returns the failure as one line, never empty for a failure.
func failureLine(f *ingest.Failure) string {
	switch {
	case f == nil:
		return ""
	case f.Message == "":
		return string(f.Kind)
	default:
		return cleanText(f.Message)
	}
}

const scanColumns = `id, server_uuid, started_at, finished_at, seen, new, settling, rejected, errors, in_progress, alone, coalesce(error, ''), unread, coalesce(note, '')`

const latestScans = `SELECT ` + scanColumns + ` FROM scans WHERE server_uuid = $1 ORDER BY id DESC LIMIT $2`

// Scans returns the server's scans, the latest first. limit is the page size:
// default 100, at most 1000.
func (s *Store) Scans(ctx context.Context, serverUUID string, limit int) (scans []ingest.Scan, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	err = s.retry(ctx, "list scans", func() error {
		rows, err := s.pool.Query(ctx, latestScans, id, pageSize(limit))
		if err != nil {
			return err
		}
		scans, err = pgx.CollectRows(rows, scanScan)
		return err
	})
	return scans, err
}

// LatestScan returns the server's latest scan, or KindMissing before the first.
func (s *Store) LatestScan(ctx context.Context, serverUUID string) (ingest.Scan, error) {
	scans, err := s.Scans(ctx, serverUUID, 1)
	if err != nil {
		return ingest.Scan{}, err
	}
	if len(scans) == 0 {
		return ingest.Scan{}, ingest.Errorf(ingest.KindMissing, "server %s has not been scanned yet", serverUUID)
	}
	return scans[0], nil
}

const scanByID = `SELECT ` + scanColumns + ` FROM scans WHERE id = $1`

// Scan returns the scan with the id, or KindMissing.
func (s *Store) Scan(ctx context.Context, scanID int64) (scan ingest.Scan, err error) {
	err = s.retry(ctx, "read scan", func() error {
		rows, err := s.pool.Query(ctx, scanByID, scanID)
		if err != nil {
			return err
		}
		scan, err = pgx.CollectExactlyOneRow(rows, scanScan)
		if errors.Is(err, pgx.ErrNoRows) {
			return ingest.Errorf(ingest.KindMissing, "no scan %d", scanID)
		}
		return err
	})
	return scan, err
}

func scanScan(row pgx.CollectableRow) (ingest.Scan, error) {
	var v ingest.Scan
	var finished *time.Time
	err := row.Scan(&v.ID, &v.ServerUUID, &v.StartedAt, &finished, &v.Seen, &v.New, &v.Settling, &v.Rejected, &v.Errors, &v.InProgress, &v.Alone, &v.Error, &v.Unread, &v.Note)
	v.StartedAt, v.FinishedAt = v.StartedAt.UTC(), utc(finished)
	return v, err
}
