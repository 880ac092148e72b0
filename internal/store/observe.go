package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// Observe records what a listing or stat of the server saw, in one
// transaction; source goes into the discovered events. It counts the
// observations and the rows they made: New and Rejected. Observing the same
// again makes no further rows. Listings of one server take turns, so that two
// at once leave what one would have. A listing without changes is only read: it
// waits for no lock and writes nothing, not even for a server that was removed.
//
// A transaction that was repeated because its commit got no answer may count
// rows of the lost try as known.
func (s *Store) Observe(ctx context.Context, serverUUID, source string, seen []ingest.Observation) (ingest.ScanCounts, error) {
	counts := ingest.ScanCounts{Seen: int64(len(seen))}
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(seen) == 0 {
		return counts, err
	}
	entries := distinct(seen)
	news, err := s.changesOf(ctx, id, entries)
	if err != nil || news.empty() {
		counts.Rejected = news.unrecorded
		return counts, err
	}
	var moved int64
	err = s.inTx(ctx, "record what the server shows", func(tx pgx.Tx) error {
		if err := lockServerRow(ctx, tx, id); err != nil {
			return err
		}
		// Another listing may have recorded the same before it released the lock.
		known, err := knownRows(ctx, tx, id, entries)
		if err != nil {
			return err
		}
		what := decide(entries, known)
		if err := what.judgeCompanions(ctx, tx, id); err != nil {
			return err
		}
		moved = int64(len(what.supersede) + len(what.revive))
		made, err := what.write(ctx, tx, id, cleanText(source))
		counts.New, counts.Rejected = made.New, made.Rejected
		return err
	})
	if err == nil {
		s.changed(ctx, moved)
	}
	return counts, err
}

// changesOf returns in what the ledger differs from what was seen.
func (s *Store) changesOf(ctx context.Context, serverUUID string, entries []entry) (news plan, err error) {
	err = s.retry(ctx, "compare what the server shows", func() error {
		known, err := knownRows(ctx, s.pool, serverUUID, entries)
		if err == nil {
			news = decide(entries, known)
		}
		return err
	})
	return news, err
}

// The lock makes listings of one server take turns; rows that refer to the
// server can still be written.
const lockServer = `SELECT removed_at IS NULL FROM sftp_servers WHERE server_uuid = $1 FOR NO KEY UPDATE`

func lockServerRow(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	return serverThere(tx.QueryRow(ctx, lockServer, serverUUID), serverUUID)
}

// serverThere reads the answer to lockServer.
func serverThere(row pgx.Row, serverUUID string) error {
	var there bool
	err := row.Scan(&there)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNo("server with uuid", serverUUID)
	}
	if err == nil && !there {
		return ingest.Errorf(ingest.KindConflict, "server %s has been removed: nothing more is recorded of it", serverUUID)
	}
	return err
}

// selectKnown finds for each observation the row of the same version, the
// version of the path that settles, and the path's rejection: one probe of an
// index each, however many versions the path has had.
const selectKnown = `
WITH o AS (
	SELECT n, size, mtime, sha256(path) AS path
	FROM unnest($2::bytea[], $3::bigint[], $4::timestamptz[]) WITH ORDINALITY AS o (path, size, mtime, n)
)
SELECT o.n, f.id, f.status, true
FROM o JOIN files f ON f.server_uuid = $1 AND f.remote_path_sha256 = o.path AND f.size_bytes = o.size AND f.mtime = o.mtime
UNION ALL
SELECT o.n, f.id, f.status, false
FROM o JOIN files f ON f.server_uuid = $1 AND f.remote_path_sha256 = o.path AND f.status = 'discovered'
WHERE (f.size_bytes, f.mtime) <> (o.size, o.mtime)
UNION ALL
SELECT o.n, f.id, f.status, false
FROM o JOIN files f ON f.server_uuid = $1 AND f.remote_path_sha256 = o.path AND f.status = 'rejected'
WHERE (f.size_bytes, f.mtime) <> (o.size, o.mtime)`

// querier is the connection pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func knownRows(ctx context.Context, db querier, serverUUID string, entries []entry) ([]known, error) {
	paths, sizes, mtimes := versionColumns(entries)
	rows, err := db.Query(ctx, selectKnown, serverUUID, paths, sizes, mtimes)
	if err != nil {
		return nil, err
	}
	found := make([]known, len(entries))
	var n, id int64
	var status ingest.Status
	var same bool
	_, err = pgx.ForEachRow(rows, []any{&n, &id, &status, &same}, func() error {
		k := &found[n-1] // ordinality counts from 1
		switch {
		case same:
			k.version, k.status = id, status
		case status == ingest.StatusDiscovered:
			k.settling = id
		default:
			k.rejected = true
		}
		return nil
	})
	return found, err
}

// write carries the plan out. What stands aside goes first, because a path may
// have one settling version only.
func (p plan) write(ctx context.Context, tx pgx.Tx, serverUUID, source string) (made ingest.ScanCounts, err error) {
	for _, step := range []struct {
		statement string
		rows      []entry
		args      []any
	}{
		{statement: supersedeRows, rows: p.supersede},
		{statement: touchRows, rows: p.touch},
		{statement: regrowRows, rows: p.regrow},
		{statement: reviveRows, rows: p.revive, args: []any{source}},
	} {
		if len(step.rows) == 0 {
			continue
		}
		c := columnsOf(serverUUID, step.rows)
		args := slices.Concat([]any{c.ids, c.sizes, c.mtimes, c.uuids, c.waits}, c.sidecars.args(), c.markers.args(), step.args)
		if _, err := tx.Exec(ctx, step.statement, args...); err != nil {
			return made, err
		}
	}
	insert, dropped, err := withinLimit(ctx, tx, serverUUID, ingest.MaxRejected, p.insert)
	if made.Rejected = p.unrecorded + dropped; err != nil || len(insert) == 0 {
		return made, err
	}
	c := columnsOf(serverUUID, insert)
	args := slices.Concat([]any{serverUUID, source, c.paths, c.displays, c.filenames, c.sizes, c.mtimes, c.reasons, c.uuids, c.waits},
		c.sidecars.args(), c.markers.args())
	var rejected int64
	err = tx.QueryRow(ctx, insertRows, args...).Scan(&made.New, &rejected)
	made.Rejected += rejected
	return made, err
}
