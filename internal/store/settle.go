package store

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// maxFailedReads is ingest.MaxFailedReads, which has one digit, in SQL.
const maxFailedReads = string(rune('0' + ingest.MaxFailedReads))

// failedReadsDelay is the time that a file must be unchanged after failed_reads.
const failedReadsDelay = `(CASE WHEN f.failed_reads < ` + maxFailedReads + ` THEN interval '0'
	ELSE least(interval '1 hour' * power(2, least(f.failed_reads - ` + maxFailedReads + `, 10)), interval '1 day') END)`

// settlesAt is the earliest time at which a listing can promote a discovered file without
// companions, by the rules of promoteFiles.
const settlesAt = `CASE WHEN f.status = 'discovered' THEN greatest(
	f.stable_since + greatest(s.settle, ` + failedReadsDelay + `), least(f.mtime, f.stable_since) + s.min_age) END`

// counted reads the table in its state before the statement, hence the subtraction. Held
// files are excluded. An unsettled file is promoted once it has been unchanged for 2 s. A
// file that changed too often while it was read is promoted only after a growing delay.
const promoteFiles = `
WITH candidates AS (
	SELECT id, last_seen_at - stable_since AS unchanged FROM files
	WHERE server_uuid = $1 AND waits_for IS NULL AND NOT stat_first AND coalesce(hold, 'free') = 'free'
		AND (status = 'discovered' OR status = 'error' AND error_kind = 'unsettled')
), settled AS (
	UPDATE files f SET status = 'ready', hold = NULL, error_step = NULL, error_kind = NULL, error_message = NULL
	FROM candidates s
	WHERE f.id = s.id AND s.unchanged >= $2
		AND s.unchanged >= ` + failedReadsDelay + `
		AND (f.mtime <= statement_timestamp() - $3::interval OR s.unchanged >= $3)
		AND (f.sidecar_raw IS NOT NULL AND NOT f.sidecar_stale OR s.unchanged >= $2 + $4::interval)
		AND (f.status = 'discovered' OR f.error_kind = 'unsettled' AND s.unchanged >= interval '2 seconds')
	RETURNING f.id, f.round, f.error_kind
), recorded AS (
	INSERT INTO file_events (file_id, round, event_type, details)
	SELECT id, round, 'settled', jsonb_build_object('settle_sec', extract(epoch FROM $2::interval)::float8) FROM settled ORDER BY id
	ON CONFLICT DO NOTHING
), counted AS (
	SELECT (SELECT count(*) FROM settled) AS promoted,
		(SELECT count(*) FROM settled s JOIN files f ON f.id = s.id AND f.status = 'discovered') AS discovered,
		(SELECT count(*) FROM files WHERE server_uuid = $1 AND status = 'discovered' AND hold IS DISTINCT FROM 'held') AS before
)
SELECT promoted, greatest(before - discovered, 0) FROM counted`

// Promote makes discovered files of the server ready. They must be unchanged for its settle
// time, by the database's clock, and meet its other rules: done-marker, age, wait for a
// checksum file. Promote returns the number of files made ready and the number still settling,
// without held files.
func (s *Store) Promote(ctx context.Context, server ingest.Server) (promoted, settling int64, err error) {
	id, err := validUUID("server with uuid", server.UUID)
	if err != nil {
		return 0, 0, err
	}
	err = s.retry(ctx, "promote settled files", func() error {
		return s.pool.QueryRow(ctx, promoteFiles, id, server.Settle, server.MinAge, server.SidecarWait).
			Scan(&promoted, &settling)
	})
	if err == nil {
		s.changed(ctx, promoted)
	}
	return promoted, settling, err
}

const settlingFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.server_uuid = $1 AND f.status = 'discovered' AND f.id > $2 ORDER BY f.id LIMIT $3`

// Settling returns at most limit discovered files with ids above afterID, ordered by id.
func (s *Store) Settling(ctx context.Context, serverUUID string, afterID int64, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || limit <= 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "list settling files", settlingFiles, id, afterID, limit)
}

const unsettledFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.server_uuid = $1 AND f.status = 'error' AND f.error_kind = 'unsettled'
	AND f.last_seen_at < statement_timestamp() - $2::interval AND f.id > $3 ORDER BY f.id LIMIT $4`

// Unsettled returns at most limit files that never settled and that no listing has shown for
// the duration, with ids above afterID, ordered by id.
func (s *Store) Unsettled(ctx context.Context, serverUUID string, unseen time.Duration, afterID int64, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || limit <= 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "list files that never settled", unsettledFiles, id, unseen, afterID, limit)
}

// A file is deferred for firstDeferral, then twice as long each time, see ingest.Change.Defer.
const (
	firstDeferral   = `interval '10 seconds'`
	longestDeferral = `interval '15 minutes'`
)

// Ready files without a slot are fresh, or deferred and due. Each kind has an index,
// files_fresh and files_deferred, so that the other kind is not read. A not_before beyond the
// longest deferral was written before the clock was set back.
const (
	isReady    = `f.server_uuid = $1 AND f.status = 'ready' AND NOT EXISTS (SELECT FROM slots x WHERE x.file_id = f.id)`
	isFresh    = isReady + ` AND f.not_before IS NULL`
	isDue      = isReady + ` AND f.not_before IS NOT NULL AND (f.not_before <= now() OR f.not_before > now() + ` + longestDeferral + ` + interval '1 minute')`
	firstFresh = ` ORDER BY f.created_at, f.id`
	firstDue   = ` ORDER BY f.not_before, f.id`
)

// untilDeferred is the number of seconds until the first deferred file of server $1 is due;
// null when there is none.
const untilDeferred = `
SELECT extract(epoch FROM f.not_before - now())::float8 FROM files f
WHERE f.server_uuid = $1 AND f.status = 'ready' AND f.not_before > now() AND f.not_before <= now() + ` + longestDeferral + ` + interval '1 minute'` +
	firstDue + ` LIMIT 1`

// seconds converts seconds to a duration.
func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// waitFor converts seconds to a duration of at least a millisecond; null is 0.
func waitFor(until *float64) time.Duration {
	if until == nil {
		return 0
	}
	return max(seconds(*until), time.Millisecond)
}
