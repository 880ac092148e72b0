package store

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// Counting reads the table as it was before the statement, hence the
// subtraction.
const promoteFiles = `
WITH settled AS (
	UPDATE files SET status = 'ready'
	WHERE server_uuid = $1 AND status = 'discovered' AND last_seen_at - stable_since >= $2 AND waits_for IS NULL
		AND (mtime <= statement_timestamp() - $3::interval OR last_seen_at - stable_since >= $3)
		AND (sidecar_raw IS NOT NULL AND NOT sidecar_stale OR last_seen_at - stable_since >= $2 + $4::interval)
	RETURNING id, round
), told AS (
	INSERT INTO file_events (file_id, round, event_type, details)
	SELECT id, round, 'settled', jsonb_build_object('settle_sec', extract(epoch FROM $2::interval)::float8) FROM settled ORDER BY id
	ON CONFLICT DO NOTHING
), counted AS (
	SELECT (SELECT count(*) FROM settled) AS promoted,
		(SELECT count(*) FROM files WHERE server_uuid = $1 AND status = 'discovered') AS before
)
SELECT promoted, greatest(before - promoted, 0) FROM counted`

// Promote makes those of the server's discovered files ready that were seen, by
// the database's clock, unchanged for its settle time and that meet its other
// rules: done-marker, age, wait for a checksum file. It returns how many it
// made ready and how many still settle.
func (s *Store) Promote(ctx context.Context, server ingest.Server) (promoted, settling int64, err error) {
	id, err := validUUID("server with uuid", server.UUID)
	if err != nil {
		return 0, 0, err
	}
	err = s.retry(ctx, "promote settled files", func() error {
		return s.pool.QueryRow(ctx, promoteFiles, id, server.Settle, server.MinAge, server.SidecarWait).Scan(&promoted, &settling)
	})
	if err == nil {
		s.changed(ctx, promoted)
	}
	return promoted, settling, err
}

const settlingFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.server_uuid = $1 AND f.status = 'discovered' AND f.id > $2 ORDER BY f.id LIMIT $3`

// Settling returns discovered files in order of id, after the given one, at
// most limit.
func (s *Store) Settling(ctx context.Context, serverUUID string, afterID int64, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || limit <= 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "list settling files", settlingFiles, id, afterID, limit)
}

// isWaiting selects the ready files of server $1 that wait for a slot. Rows are
// in the order of the index files_turn; deferred files come last in it.
const isWaiting = `f.server_uuid = $1 AND f.status = 'ready' AND coalesce(f.not_before, f.created_at) <= now()
	AND NOT EXISTS (SELECT FROM slots x WHERE x.file_id = f.id)`

const firstWaiting = ` ORDER BY coalesce(f.not_before, f.created_at), f.id`

// untilDeferred is the number of seconds until the first deferred file of server $1
// may be started; null when there is none.
const untilDeferred = `
SELECT extract(epoch FROM f.not_before - now())::float8 FROM files f
WHERE f.server_uuid = $1 AND f.status = 'ready' AND coalesce(f.not_before, f.created_at) > now() AND f.not_before IS NOT NULL` +
	firstWaiting + ` LIMIT 1`

// seconds returns a number of seconds as a duration.
func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// waitFor returns the seconds as a duration, at least a millisecond; 0 for null.
func waitFor(until *float64) time.Duration {
	if until == nil {
		return 0
	}
	return max(seconds(*until), time.Millisecond)
}
