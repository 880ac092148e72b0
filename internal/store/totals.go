package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// foldEvery is the number of changes by this process between two folds. foldLimit is the number
	// of deltas folded at a time; it bounds the caller's delay to about 10 ms.
	foldEvery = 1000
	foldLimit = 20_000
	// foldTimeout bounds the delay of a committed change when the database is slow.
	foldTimeout = 5 * time.Second
	// foldLock is the key of the advisory lock that serializes folding.
	foldLock = 7305514218
)

const (
	tryFoldLock = `SELECT pg_try_advisory_xact_lock($1)`

	foldDeltas = `
WITH deltas AS (
	DELETE FROM file_deltas WHERE ctid = ANY (ARRAY(SELECT ctid FROM file_deltas LIMIT $1)) RETURNING *
), counts AS (
	INSERT INTO file_counts AS c (server_uuid, status, files)
	SELECT server_uuid, status, sum(files)
	FROM (
		SELECT server_uuid, from_status AS status, -files AS files FROM deltas WHERE from_status IS NOT NULL
		UNION ALL
		SELECT server_uuid, to_status, files FROM deltas WHERE to_status IS NOT NULL
	) moved
	GROUP BY server_uuid, status
	ON CONFLICT (server_uuid, status) DO UPDATE SET files = c.files + excluded.files
), hours AS (
	INSERT INTO file_hours AS h (hour, server_uuid, completed, bytes, failures)
	SELECT hour, server_uuid, sum(completed), sum(bytes), sum(failures) FROM deltas WHERE hour IS NOT NULL GROUP BY hour, server_uuid
	ON CONFLICT (hour, server_uuid) DO UPDATE SET
		completed = h.completed + excluded.completed, bytes = h.bytes + excluded.bytes, failures = h.failures + excluded.failures
)
INSERT INTO file_spans AS s (span, first_id, last_id)
SELECT span, min(first_id), max(last_id) FROM deltas WHERE span IS NOT NULL GROUP BY span
ON CONFLICT (span) DO UPDATE SET first_id = least(s.first_id, excluded.first_id), last_id = greatest(s.last_id, excluded.last_id)`

	deleteOldHours = `DELETE FROM file_hours WHERE hour < now() - interval '31 days'`
)

// changed counts rows appended to file_deltas and folds them when there are many. It ignores
// errors: the change is committed, and the next call folds the remaining deltas.
func (s *Store) changed(ctx context.Context, rows int64) {
	if s.unfolded.Add(rows) < foldEvery {
		return
	}
	s.unfolded.Store(0)
	_ = s.fold(ctx)
}

// fold adds deltas to the totals. One process folds at a time; a concurrent call does nothing.
func (s *Store) fold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	// Read committed, so that the statements see the deltas committed before the lock was granted.
	return pgx.BeginTxFunc(ctx, s.pool, readCommitted, func(tx pgx.Tx) error {
		var locked bool
		if err := tx.QueryRow(ctx, tryFoldLock, int64(foldLock)).Scan(&locked); err != nil || !locked {
			return err
		}
		if _, err := tx.Exec(ctx, foldDeltas, foldLimit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, deleteOldHours)
		return err
	})
}
