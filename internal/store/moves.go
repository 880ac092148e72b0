package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// maybeDelivered are the statuses, besides completed, of files that were read, or are being
// read, and may still be notified although their source is moved.
const maybeDelivered = `'{downloading,downloaded,verified,uploading,uploaded,error}'`

const (
	// sameFile matches a file t at another path with the name, size and time of row o.
	sameFile = `t.server_uuid = @server AND t.filename = o.filename AND t.size_bytes = o.size AND t.mtime = o.mtime AND t.remote_path_sha256 <> o.path`

	// ingestedFile is sameFile for ingested files; the index files_name serves it.
	ingestedFile = sameFile + ` AND t.status = 'completed' AND hashtextextended(t.filename, 0) = hashtextextended(o.filename, 0)`

	selectSameFiles = `
WITH o AS (
	SELECT n, filename, size, mtime, sha256(path) AS path
	FROM unnest(@paths::bytea[], @filenames::text[], @sizes::bigint[], @mtimes::timestamptz[]) WITH ORDINALITY AS o (path, filename, size, mtime, n)
)
SELECT o.n, t.id FROM o CROSS JOIN LATERAL (SELECT t.id FROM files t WHERE ` + ingestedFile + ` LIMIT 1) t
UNION ALL
SELECT o.n, t.id FROM o JOIN files t ON ` + sameFile + ` AND t.status = ANY (` + maybeDelivered + `) AND t.error_kind IS DISTINCT FROM 'unsettled'`

	// suspectedMoves finds all ingested files for each suspect, because any of them may have been
	// moved.
	suspectedMoves = `
SELECT o.id, o.raw, coalesce(t.id, 0), coalesce(t.remote_path_raw, ''), o.size, o.mtime
FROM (
	SELECT id, remote_path_raw AS raw, remote_path_sha256 AS path, filename, size_bytes AS size, mtime, moved_from
	FROM files WHERE server_uuid = @server AND hold = 'unjudged' AND moved_from IS NOT NULL ORDER BY id LIMIT @limit
) o LEFT JOIN LATERAL (
	SELECT t.id, t.remote_path_raw FROM files t WHERE ` + ingestedFile + `
	UNION ALL
	SELECT t.id, t.remote_path_raw FROM files t WHERE t.id = o.moved_from AND t.status = ANY (` + maybeDelivered + `)
) t ON true
ORDER BY o.id LIMIT @limit`

	undecided = `f.server_uuid = @server AND f.hold = 'unjudged' AND f.moved_from IS NOT NULL`

	// A file that is still read, with a source that is gone, may end as vanished: the decision
	// waits for it.
	holdMoved = `
UPDATE files f SET hold = 'held', moved_from = t.id
FROM unnest(@gone::bigint[], @gone_from::bigint[]) AS o (id, old) JOIN files t ON t.id = o.old
WHERE f.id = o.id AND ` + undecided + ` AND (t.status = 'completed' OR t.status <> 'downloading' AND t.status = ANY (` + maybeDelivered + `))`

	// Copies wait for the settle time, because a move between file systems is a copy first. A copy
	// whose path has another completed version is then checked for changed times.
	freeCopies = `
UPDATE files f SET ` + freeMoved + `
WHERE f.id = ANY (@copies::bigint[]) AND f.id <> ALL (@gone::bigint[]) AND ` + undecided + ` AND f.last_seen_at - f.stable_since >= @settle::interval`

	freeMoved = `hold = CASE WHEN f.time_shift IS NOT NULL THEN 'unjudged' END, moved_from = NULL`

	freeAllMoved = `UPDATE files f SET ` + freeMoved + ` WHERE ` + undecided
	holdAllMoved = `UPDATE files f SET hold = 'held' WHERE ` + undecided
)

// markMoved holds new versions that have the name, size and time of a file of another path that
// was ingested or is in flight, until DecideMoves. Files without a time are not compared.
func (p *plan) markMoved(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	if p.moved == ingest.MovedDeliver {
		return nil
	}
	var all []*entry
	for _, list := range [][]entry{p.resettle, p.reopen, p.insert} {
		for i := range list {
			if e := &list[i]; e.Rejected == "" && e.delivery == 0 && e.hold != ingest.HoldHeld && e.ModTime.Unix() != 0 {
				all = append(all, e)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	entries := column(all, func(e *entry) entry { return *e })
	args := versionArgs(serverUUID, entries)
	args["filenames"] = filenames(entries)
	rows, err := tx.Query(ctx, selectSameFiles, args)
	if err != nil {
		return err
	}
	var n, id int64
	_, err = pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		all[n-1].movedFrom, all[n-1].hold = new(id), ingest.HoldUnjudged
		return nil
	})
	return err
}

// SuspectedMoves returns at most limit suspected moves whose decision is open, in order of
// FileID.
func (s *Store) SuspectedMoves(ctx context.Context, serverUUID string, limit int) ([]ingest.SuspectedMove, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	return selectAll(ctx, s, "list suspected moves", func(row pgx.CollectableRow) (m ingest.SuspectedMove, err error) {
		var path, old []byte
		err = row.Scan(&m.FileID, &path, &m.OldID, &old, &m.Size, &m.ModTime)
		m.Path, m.OldPath, m.ModTime = string(path), string(old), m.ModTime.UTC()
		return m, err
	}, suspectedMoves, pgx.NamedArgs{"server": id, "limit": limit})
}

// DecideMoves holds the files with an old path that is gone. It frees the other copies once they
// are unchanged for the server's settle time.
func (s *Store) DecideMoves(ctx context.Context, server ingest.Server, gone []ingest.SuspectedMove, copies []int64) error {
	return s.changeHolds(ctx, server.UUID, pgx.NamedArgs{
		"gone":      column(gone, func(m ingest.SuspectedMove) int64 { return m.FileID }),
		"gone_from": column(gone, func(m ingest.SuspectedMove) int64 { return m.OldID }),
		"copies":    nonNil(copies),
		"settle":    server.Settle,
	}, holdMoved, freeCopies)
}

// DecideAllMoves holds all suspected moves, or frees them if the server's setting is to deliver
// moved files.
func (s *Store) DecideAllMoves(ctx context.Context, server ingest.Server) error {
	statement := holdAllMoved
	if server.Moved == ingest.MovedDeliver {
		statement = freeAllMoved
	}
	return s.changeHolds(ctx, server.UUID, pgx.NamedArgs{}, statement)
}

func (s *Store) changeHolds(ctx context.Context, serverUUID string, args pgx.NamedArgs, statements ...string) error {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return err
	}
	args["server"] = id
	return s.inTx(ctx, "decide on moved files", func(tx pgx.Tx) error {
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement, args); err != nil {
				return err
			}
		}
		return nil
	})
}
