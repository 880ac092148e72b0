package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// A repeated attempt reopens its row. If the row is still open, the previous attempt died with
// its worker.
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

// StartScan opens a scan row and sets the server's last_scan_at. The same key returns the same
// row.
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

const countRecorded = `
SELECT count(*) FILTER (WHERE f.status <> 'rejected'), count(*) FILTER (WHERE f.status = 'rejected')
FROM scans c JOIN files f ON f.server_uuid = c.server_uuid
WHERE c.id = $1 AND f.id > coalesce((
	SELECT o.id FROM files o WHERE o.server_uuid = c.server_uuid AND o.created_at < c.started_at ORDER BY o.id DESC LIMIT 1), 0)`

// Recorded returns the number of file rows created since the scan began, by all of its
// attempts, including attempts that crashed.
func (s *Store) Recorded(ctx context.Context, scanID int64) (created, rejected int64, err error) {
	err = s.retry(ctx, "count rows of a scan", func() error {
		return s.pool.QueryRow(ctx, countRecorded, scanID).Scan(&created, &rejected)
	})
	return created, rejected, err
}

// ScanCrashes returns the number of consecutive previous attempts that left the scan's row open,
// because their worker died or was cut off.
func (s *Store) ScanCrashes(ctx context.Context, scanID int64) (deaths int, err error) {
	err = s.retry(ctx, "read scan", func() error {
		return s.pool.QueryRow(ctx, `SELECT died FROM scans WHERE id = $1`, scanID).Scan(&deaths)
	})
	return deaths, err
}

// The statements of FinishScan take scanArgs.
const (
	// If the attempts of the listing together read every folder, entries it did not show are gone.
	finishScan = `
WITH deleted AS (
	DELETE FROM ignored_entries a USING scans c WHERE c.id = @scan AND a.server_uuid = @server AND a.listing <> c.scan_key AND @entire
)
UPDATE scans SET finished_at = now(), seen = @seen, new = @new, settling = @settling, rejected = @rejected, errors = @errors,
	error = nullif(@failure, ''), in_progress = @in_progress, alone = @alone, unread = @unread, note = nullif(@note, ''),
	source = nullif(@source, ''), requested_by = nullif(@requested_by, ''), excluded = @excluded, excluded_example = nullif(@excluded_example, '')
WHERE id = @scan AND server_uuid = @server`

	// serverScanned updates the server after a listing that began @took ago; null if that is recorded.
	// A failure that does not suspend the server leaves its state unchanged, and a continuing
	// suspension keeps its reason.
	serverScanned = `
UPDATE sftp_servers SET
	last_scan_at = greatest(CASE WHEN last_scan_at <= now() THEN last_scan_at END, now() - @took::interval),
	last_error = CASE WHEN state = 'suspended' AND NOT (@suspend OR @failure = '' AND @resume) THEN last_error ELSE nullif(@failure, '') END,
	state = CASE WHEN @suspend THEN 'suspended' WHEN @failure = '' AND @resume THEN 'ok' ELSE state END,
	unread = CASE WHEN @failure = '' THEN @unread ELSE unread END
WHERE server_uuid = @server AND removed_at IS NULL`

	// insertScan writes the row of a listing that has none. A repeated attempt finds its row.
	insertScan = `
WITH server AS (` + serverScanned + ` RETURNING server_uuid), recorded AS (
	INSERT INTO scans (server_uuid, scan_key, started_at, finished_at, seen, new, settling, rejected, errors, error, in_progress, alone, unread, note,
		source, requested_by, excluded, excluded_example)
	SELECT server_uuid, @key, now() - @took::interval, now(), @seen, @new, @settling, @rejected, @errors, nullif(@failure, ''),
		@in_progress, @alone, @unread, nullif(@note, ''),
		nullif(@source, ''), nullif(@requested_by, ''), @excluded, nullif(@excluded_example, '') FROM server
	ON CONFLICT (scan_key) DO NOTHING
), deleted AS (
	DELETE FROM ignored_entries WHERE server_uuid = @server AND listing <> @key AND @entire
)
SELECT count(*) FROM server`
)

func scanArgs(serverUUID string, scan ingest.ScanResult) pgx.NamedArgs {
	c := scan.Counts
	args := pgx.NamedArgs{
		"server": serverUUID, "scan": scan.ScanID, "key": cleanText(scan.Key), "seen": c.Seen, "new": c.New, "settling": c.Settling,
		"rejected": c.Rejected, "errors": c.Errors, "in_progress": c.InProgress, "alone": c.Alone, "unread": scan.Unread,
		"note": cleanText(scan.Note), "failure": failureLine(scan.Failure), "suspend": scan.Suspend, "resume": scan.EndsSuspension, "entire": scan.Entire,
	}
	args["source"], args["requested_by"] = scan.Origin.Source, cleanText(scan.Origin.RequestedBy)
	args["excluded"], args["excluded_example"] = scan.Excluded.Count, ingest.Summary(cleanText(scan.Excluded.Example))
	if scan.ScanID == 0 {
		args["took"] = scan.Took
	}
	return args
}

// FinishScan closes the scan with its counts and updates the server's last_error and state. The
// state becomes suspended if the result requests it, and ok after a success that ends a
// suspension; otherwise, and always after an interrupted listing, it is unchanged.
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

// closeScan is FinishScan for a listing with a row.
func closeScan(ctx context.Context, tx pgx.Tx, id string, scan ingest.ScanResult) error {
	if err := lockServerRow(ctx, tx, id); err != nil {
		return err
	}
	args := scanArgs(id, scan)
	tag, err := tx.Exec(ctx, finishScan, args)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ingest.Errorf(ingest.KindMissing, "no scan %d of server %s", scan.ScanID, id)
	}
	if scan.Broken {
		return nil
	}
	_, err = tx.Exec(ctx, serverScanned, args)
	return err
}

// recordScan is FinishScan for a listing without a row: a single statement, without an explicit
// transaction.
func (s *Store) recordScan(ctx context.Context, id string, scan ingest.ScanResult) error {
	var servers int
	err := s.pool.QueryRow(ctx, insertScan, scanArgs(id, scan)).Scan(&servers)
	if err != nil || servers > 0 {
		return err
	}
	return checkServerRow(s.pool.QueryRow(ctx, lockServer, id), id) // returns the reason
}

const serverToScan = `
SELECT ` + serverColumns + `, coalesce((
	SELECT extract(epoch FROM c.duration)::float8 FROM scans c
	WHERE c.server_uuid = s.server_uuid AND c.finished_at IS NOT NULL ORDER BY c.id DESC LIMIT 1), 0)
FROM sftp_servers s WHERE s.server_uuid = $1`

// ServerToScan returns the server and the duration of its last listing, 0 before the first.
// KindMissing if the server does not exist.
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
		if err == nil {
			took = seconds(secs)
			server, err = r.read()
		}
		return err
	})
	return server, took, err
}

// dispatchable reports whether a dispatcher of server $1 has work: a slot in use, or a ready or
// deferred file.
const dispatchable = `
SELECT EXISTS (SELECT FROM slots x WHERE x.server_uuid = $1)
	OR EXISTS (SELECT FROM files f WHERE f.server_uuid = $1 AND f.status = 'ready')`

// Dispatchable reports whether the server has slots in use, or ready or deferred files.
func (s *Store) Dispatchable(ctx context.Context, serverUUID string) (has bool, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return false, err
	}
	err = s.retry(ctx, "look up ready files", func() error { return s.pool.QueryRow(ctx, dispatchable, id).Scan(&has) })
	return has, err
}

// failureLine returns the failure as one line, which is empty only for nil.
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

const scanFields = `
SELECT c.id, c.server_uuid, s.name, s.removed_at IS NOT NULL, c.started_at, c.finished_at, c.seen, c.new, c.settling, c.rejected, c.errors, c.in_progress, c.alone,
	coalesce(c.error, ''), c.unread, coalesce(c.note, ''), coalesce(c.source, ''), coalesce(c.requested_by, ''), c.excluded, coalesce(c.excluded_example, '')`

const scansBefore = scanFields + `
FROM (SELECT * FROM scans WHERE id < $1 %s ORDER BY id DESC LIMIT $2) c JOIN sftp_servers s USING (server_uuid)
ORDER BY c.id DESC`

// ScansBefore returns scans of the server with the uuid, or of all servers if it is empty,
// with ids below beforeID, newest first; beforeID 0 starts with the newest. limit is the page
// size: default 100, at most 1000.
func (s *Store) ScansBefore(ctx context.Context, serverUUID string, beforeID int64, limit int) (scans []ingest.Scan, err error) {
	args, condition := []any{before(beforeID), pageSize(limit)}, ""
	if serverUUID != "" {
		id, err := validUUID("server with uuid", serverUUID)
		if err != nil {
			return nil, err
		}
		args, condition = append(args, id), "AND server_uuid = $3"
	}
	return selectAll(ctx, s, "list scans", scanScan, fmt.Sprintf(scansBefore, condition), planned(args)...)
}

const scanByID = scanFields + ` FROM scans c JOIN sftp_servers s USING (server_uuid) WHERE c.id = $1`

// Scan returns the scan with the id, or KindMissing.
func (s *Store) Scan(ctx context.Context, id int64) (ingest.Scan, error) {
	return selectOne(ctx, s, "read a scan", ingest.Errorf(ingest.KindMissing, "no scan %d", id), scanScan, scanByID, id)
}

func scanScan(row pgx.CollectableRow) (ingest.Scan, error) {
	var v ingest.Scan
	var finished *time.Time
	err := row.Scan(&v.ID, &v.ServerUUID, &v.ServerName, &v.ServerRemoved, &v.StartedAt, &finished, &v.Seen, &v.New, &v.Settling, &v.Rejected, &v.Errors,
		&v.InProgress, &v.Alone, &v.Error, &v.Unread, &v.Note, &v.Source, &v.RequestedBy, &v.Excluded.Count, &v.Excluded.Example)
	v.StartedAt, v.FinishedAt = v.StartedAt.UTC(), utc(finished)
	return v, err
}
