package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// foldEvery is after how many changes of this process they are folded, and
	// foldAtOnce how many at most, so that whoever does it is held up for some
	// ten milliseconds at most.
	foldEvery  = 1000
	foldAtOnce = 20_000
	// foldTimeout keeps a slow database from holding up a change that is done.
	foldTimeout = 5 * time.Second
	// foldLock is the advisory lock of who folds.
	foldLock = 7305514218
)

const (
	mayFold = `SELECT pg_try_advisory_xact_lock($1)`

	foldDeltas = `
WITH gone AS (
	DELETE FROM file_deltas WHERE ctid = ANY (ARRAY(SELECT ctid FROM file_deltas LIMIT $1)) RETURNING *
), counts AS (
	INSERT INTO file_counts AS c (server_uuid, status, files)
	SELECT server_uuid, status, sum(files)
	FROM (
		SELECT server_uuid, from_status AS status, -files AS files FROM gone WHERE from_status IS NOT NULL
		UNION ALL
		SELECT server_uuid, to_status, files FROM gone WHERE to_status IS NOT NULL
	) moved
	GROUP BY server_uuid, status
	ON CONFLICT (server_uuid, status) DO UPDATE SET files = c.files + excluded.files
), hours AS (
	INSERT INTO file_hours AS h (hour, server_uuid, completed, bytes, failures)
	SELECT hour, server_uuid, sum(completed), sum(bytes), sum(failures) FROM gone WHERE hour IS NOT NULL GROUP BY hour, server_uuid
	ON CONFLICT (hour, server_uuid) DO UPDATE SET
		completed = h.completed + excluded.completed, bytes = h.bytes + excluded.bytes, failures = h.failures + excluded.failures
)
INSERT INTO file_spans AS s (span, first_id, last_id)
SELECT span, min(first_id), max(last_id) FROM gone WHERE span IS NOT NULL GROUP BY span
ON CONFLICT (span) DO UPDATE SET first_id = least(s.first_id, excluded.first_id), last_id = greatest(s.last_id, excluded.last_id)`

	forgetHours = `DELETE FROM file_hours WHERE hour < now() - interval '31 days'`
)

// changed notes that about so many rows were appended to file_deltas, and now
// and then folds them. It fails silently: the change itself is committed, and
// whoever comes next folds what is left.
func (s *Store) changed(ctx context.Context, rows int64) {
	if s.unfolded.Add(rows) < foldEvery {
		return
	}
	s.unfolded.Store(0)
	_ = s.fold(ctx)
}

// fold adds changes to the totals. One process at a time does it; others that
// want to do nothing.
func (s *Store) fold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foldTimeout)
	defer cancel()
	// Under another isolation the statements would see the changes as they
	// were before the lock was there.
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, mayFold, int64(foldLock)).Scan(&mine); err != nil || !mine {
			return err
		}
		if _, err := tx.Exec(ctx, foldDeltas, foldAtOnce); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, forgetHours)
		return err
	})
}
