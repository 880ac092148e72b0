package store

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// noteAside brings the rows of a server up to what its listing showed. $7 is how
// long a companion is left alone after it was looked after.
const noteAside = `
WITH o AS (
	SELECT n, path, display, reason, size, mtime
	FROM unnest($2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[]) WITH ORDINALITY AS o (path, display, reason, size, mtime, n)
), gone AS (
	DELETE FROM names_aside a WHERE a.server_uuid = $1 AND NOT EXISTS (SELECT FROM o WHERE sha256(o.path) = a.path_sha256)
), due AS (
	SELECT o.n, CASE WHEN a.size_bytes = o.size AND a.mtime = o.mtime THEN a.first_seen_at END AS since
	FROM o LEFT JOIN names_aside a ON a.server_uuid = $1 AND a.path_sha256 = sha256(o.path)
	WHERE o.reason = 'companion' AND (a.tried_at IS NULL OR a.tried_at < now() - $7::interval OR a.size_bytes <> o.size OR a.mtime <> o.mtime)
), noted AS (
	INSERT INTO names_aside AS a (server_uuid, path_raw, path, reason, size_bytes, mtime, tried_at)
	SELECT $1, path, display, reason, size, mtime, CASE WHEN due.n IS NOT NULL THEN now() END FROM o LEFT JOIN due USING (n)
	ON CONFLICT (server_uuid, path_sha256) DO UPDATE SET
		first_seen_at = CASE WHEN (a.size_bytes, a.mtime, a.reason) = (excluded.size_bytes, excluded.mtime, excluded.reason) THEN a.first_seen_at ELSE now() END,
		size_bytes = excluded.size_bytes, mtime = excluded.mtime, reason = excluded.reason, last_seen_at = now(),
		tried_at = coalesce(excluded.tried_at, a.tried_at)
)
SELECT n, coalesce(extract(epoch FROM now() - since), 0)::float8 FROM due ORDER BY n`

// NoteAside records what a whole listing of the server set aside, in the place of
// what an earlier one had. It returns the companions to be looked after now, those
// that were not within the time, with how long each has been there unchanged.
func (s *Store) NoteAside(ctx context.Context, serverUUID string, seen []ingest.Observation, again time.Duration) (due []ingest.Alone, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	entries := distinct(seen)
	c := columnsOf(id, entries)
	reasons := make([]string, len(entries))
	for i, e := range entries {
		reasons[i] = string(e.Aside)
	}
	err = s.retry(ctx, "note what is set aside", func() error {
		rows, err := s.pool.Query(ctx, noteAside, id, c.paths, c.displays, reasons, c.sizes, c.mtimes, again)
		if err != nil {
			return err
		}
		due = nil
		var n int64
		var secs float64
		_, err = pgx.ForEachRow(rows, []any{&n, &secs}, func() error {
			due = append(due, ingest.Alone{Observation: entries[n-1].Observation, For: seconds(secs)})
			return nil
		})
		return err
	})
	return due, err
}

// takenWith finds the files that companions speak of: by their path, by what was
// recorded with them, and for one that covers a folder by that, as far as $7 of them.
// A file is taken when its source was deleted or moved.
const takenWith = `
WITH o AS (
	SELECT n, path, of, size, mtime, folder
	FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::timestamptz[], $6::text[]) WITH ORDINALITY AS o (path, of, size, mtime, folder, n)
), spoken AS (
	SELECT o.n, f.id FROM o JOIN files f ON o.of <> '' AND f.server_uuid = $1 AND f.remote_path_sha256 = sha256(o.of)
	UNION
	SELECT o.n, f.id FROM o JOIN files f ON f.server_uuid = $1 AND f.sidecar_raw IS NOT NULL AND sha256(f.sidecar_raw) = sha256(o.path)
	UNION
	SELECT o.n, f.id FROM o JOIN files f ON f.server_uuid = $1 AND f.marker_raw IS NOT NULL AND sha256(f.marker_raw) = sha256(o.path)
	UNION
	SELECT o.n, f.id FROM o CROSS JOIN LATERAL (
		SELECT file_id FROM file_names m WHERE o.folder <> '' AND m.path >= o.folder AND m.path < o.folder || U&'\+10FFFF'
		ORDER BY m.path LIMIT $7
	) m JOIN files f ON f.id = m.file_id
	WHERE f.server_uuid = $1 AND position('/' IN substr(f.remote_path, length(o.folder) + 1)) = 0
), known AS (
	SELECT o.n, f.id, f.file_uuid,
		f.status = 'completed' AND f.source_left IS NULL AND EXISTS (SELECT FROM file_events e WHERE e.file_id = f.id AND e.event_type = 'source_done') AS taken,
		(f.sidecar_raw, f.sidecar_size, f.sidecar_mtime) = (o.path, o.size, o.mtime) AS as_sidecar,
		(f.marker_raw, f.marker_size, f.marker_mtime) = (o.path, o.size, o.mtime) AS as_marker,
		f.status NOT IN ('completed', 'skipped', 'vanished', 'superseded', 'rejected') OR f.source_left IS NOT NULL AS open
	FROM o JOIN spoken USING (n) JOIN files f USING (id)
)
SELECT n, count(*) FILTER (WHERE open), coalesce(bool_or(taken AND (as_sidecar OR as_marker)), false),
	coalesce((array_agg(file_uuid::text ORDER BY id DESC) FILTER (WHERE taken))[1], ''), count(*)
FROM known GROUP BY n ORDER BY n`

// namesLooked bounds the files of a folder that a companion is compared with.
const namesLooked = 10_000

// folderOf returns the folder that a companion covers, as paths are displayed; empty
// for one of a single file, and where the index does not reach.
func folderOf(c ingest.Alone) string {
	folder := ingest.DisplayPath(c.Path[:len(c.Path)-len(baseName(c.Path))])
	if c.Of != "" || utf8.RuneCountInString(folder) >= indexedRunes {
		return ""
	}
	return folder
}

// TakenWith returns what the ledger has of the files that the companions speak of,
// in their order.
func (s *Store) TakenWith(ctx context.Context, serverUUID string, companions []ingest.Alone) (all []ingest.Spoken, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(companions) == 0 {
		return nil, err
	}
	var paths, ofs [][]byte
	var sizes []int64
	var mtimes []time.Time
	var folders []string
	for _, c := range companions {
		paths, ofs = append(paths, []byte(c.Path)), append(ofs, []byte(c.Of))
		sizes, mtimes, folders = append(sizes, c.Size), append(mtimes, c.ModTime), append(folders, folderOf(c))
	}
	err = s.retry(ctx, "look up what companions speak of", func() error {
		rows, err := s.pool.Query(ctx, takenWith, id, paths, ofs, sizes, mtimes, folders, namesLooked)
		if err != nil {
			return err
		}
		all = make([]ingest.Spoken, len(companions))
		var n int64
		var one struct {
			ingest.Spoken
			files int64
		}
		_, err = pgx.ForEachRow(rows, []any{&n, &one.Open, &one.Recorded, &one.Taken, &one.files}, func() error {
			one.Known = true
			if one.files >= namesLooked {
				one.Open++ // there may be more
			}
			all[n-1] = one.Spoken
			return nil
		})
		return err
	})
	return all, err
}

const sourcesLeft = `SELECT ` + fileColumns + fromFiles + `
WHERE f.server_uuid = $1 AND f.source_left IS NOT NULL AND f.source_left_at < now() - $2::interval ORDER BY f.id LIMIT $3`

// SourcesLeft returns files whose sources should have been deleted or moved and are
// still there, and that nobody has tried for the time.
func (s *Store) SourcesLeft(ctx context.Context, serverUUID string, untried time.Duration, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	return s.manyFiles(ctx, "list sources that are left", sourcesLeft, id, untried, limit)
}

// leftByServer bounds the sources that are counted: more is as bad.
const leftByServer = `
WITH left_behind AS (
	SELECT f.server_uuid FROM files f WHERE f.source_left IS NOT NULL LIMIT 100000
), aside AS (
	SELECT server_uuid, count(*) FILTER (WHERE reason = 'in_progress') AS in_progress, count(*) FILTER (WHERE reason = 'companion') AS alone,
		(array_agg(path ORDER BY first_seen_at))[1] AS oldest, min(first_seen_at) AS since
	FROM names_aside GROUP BY server_uuid
)
SELECT s.server_uuid, (SELECT count(*) FROM left_behind l WHERE l.server_uuid = s.server_uuid AND s.after_ingest <> 'keep'),
	coalesce(a.in_progress, 0), coalesce(a.alone, 0), coalesce(a.oldest, ''), a.since
FROM sftp_servers s LEFT JOIN aside a USING (server_uuid)
WHERE a.server_uuid IS NOT NULL OR s.server_uuid IN (SELECT server_uuid FROM left_behind)`

// LeftByServer returns what is on servers and nobody takes away, by server uuid;
// absent means nothing.
func (s *Store) LeftByServer(ctx context.Context) (left map[string]ingest.ServerLeft, err error) {
	err = s.retry(ctx, "count what is left on servers", func() error {
		rows, err := s.pool.Query(ctx, leftByServer)
		if err != nil {
			return err
		}
		left = make(map[string]ingest.ServerLeft)
		var server string
		var one ingest.ServerLeft
		var since *time.Time
		_, err = pgx.ForEachRow(rows, []any{&server, &one.Sources, &one.InProgress, &one.Alone, &one.Oldest, &since}, func() error {
			one.OldestSince = utc(since)
			left[server] = one
			return nil
		})
		return err
	})
	return left, err
}

const asideOfServer = `
SELECT path, reason, size_bytes, mtime, first_seen_at FROM names_aside WHERE server_uuid = $1 ORDER BY first_seen_at, path_sha256 LIMIT $2`

// AsideOf returns what the server's last listing set aside, the oldest first.
func (s *Store) AsideOf(ctx context.Context, serverUUID string, limit int) (all []ingest.AsideName, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	err = s.retry(ctx, "list what is set aside", func() error {
		rows, err := s.pool.Query(ctx, asideOfServer, id, pageSize(limit))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a ingest.AsideName, err error) {
			err = row.Scan(&a.Path, &a.Reason, &a.Size, &a.ModTime, &a.Since)
			a.ModTime, a.Since = a.ModTime.UTC(), a.Since.UTC()
			return a, err
		})
		return err
	})
	return all, err
}
