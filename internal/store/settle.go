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
		AND (sidecar_raw IS NOT NULL OR last_seen_at - stable_since >= $2 + $4::interval)
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

const readyFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE f.server_uuid = $1 AND f.status = 'ready' AND (f.not_before IS NULL OR f.not_before <= now())
	AND f.file_uuid <> ALL ($2::text[]::uuid[])
ORDER BY coalesce(f.not_before, f.created_at), f.id LIMIT $3`

const nextDeferred = `
SELECT extract(epoch FROM min(not_before) - now())::float8 FROM files
WHERE server_uuid = $1 AND status = 'ready' AND not_before > now()`

// NextDeferred returns how soon the first of the server's ready files may be
// taken up again that are put off to a later time; 0 when there is none.
func (s *Store) NextDeferred(ctx context.Context, serverUUID string) (in time.Duration, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return 0, err
	}
	var seconds *float64
	err = s.retry(ctx, "look for files that are put off", func() error {
		return s.pool.QueryRow(ctx, nextDeferred, id).Scan(&seconds)
	})
	if err != nil || seconds == nil {
		return 0, err
	}
	return max(time.Duration(*seconds*float64(time.Second)), time.Millisecond), nil
}

// ReadyFiles returns the ready files that have waited longest, whose uuid is not
// excluded and that are not put off to a later time, at most limit: a full
// window asks for 0 and gets none. One that was put off waits since then only,
// so that stubborn files do not keep others from their turn.
func (s *Store) ReadyFiles(ctx context.Context, serverUUID string, exclude []string, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || limit <= 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "list ready files", readyFiles, id, nonNil(exclude), limit)
}
