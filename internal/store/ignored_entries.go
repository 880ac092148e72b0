package store

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// An ignored entry is a file in progress, or a companion without its file. upsertIgnored
// records the ignored entries of a listing.
const upsertIgnored = `
INSERT INTO ignored_entries AS a (server_uuid, path_raw, path, reason, size_bytes, mtime, of_raw, listing)
SELECT @server, path, display, reason, size, mtime, nullif(of, ''), @listing
FROM unnest(@paths::bytea[], @displays::text[], @ignored::text[], @sizes::bigint[], @mtimes::timestamptz[], @ofs::bytea[]) AS o (path, display, reason, size, mtime, of)
ON CONFLICT (server_uuid, path_sha256) DO UPDATE SET
	first_seen_at = CASE WHEN (a.size_bytes, a.mtime, a.reason) = (excluded.size_bytes, excluded.mtime, excluded.reason) THEN a.first_seen_at ELSE now() END,
	tried_at = CASE WHEN (a.size_bytes, a.mtime) = (excluded.size_bytes, excluded.mtime) THEN a.tried_at END,
	size_bytes = excluded.size_bytes, mtime = excluded.mtime, reason = excluded.reason, of_raw = excluded.of_raw,
	listing = excluded.listing, last_seen_at = now()`

// RecordIgnored records the ignored entries of a listing. key identifies the listing across its
// attempts, as for StartScan. FinishScan deletes the entries that the listing did not show.
func (s *Store) RecordIgnored(ctx context.Context, serverUUID, key string, seen []ingest.Observation) error {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(seen) == 0 {
		return err
	}
	entries := distinct(seen)
	args := entryArgs(id, entries)
	args["ignored"] = column(entries, func(e entry) string { return string(e.Ignored) })
	args["ofs"] = column(entries, func(e entry) []byte { return []byte(e.Of) })
	args["listing"] = cleanText(key)
	return s.exec(ctx, "record ignored entries", upsertIgnored, args)
}

// A time in the future was written before the clock was set back.
const companionsDue = `
WITH due AS (
	UPDATE ignored_entries SET tried_at = now()
	WHERE server_uuid = $1 AND listing = $2 AND reason = 'companion' AND (tried_at IS NULL OR tried_at < now() - $3::interval OR tried_at > now())
	RETURNING path_raw, of_raw, size_bytes, mtime, first_seen_at
)
SELECT path_raw, of_raw, size_bytes, mtime, greatest(extract(epoch FROM now() - first_seen_at), 0)::float8 FROM due ORDER BY first_seen_at, path_raw`

// CompanionsDue returns the companions without a file that the listing showed and that were not
// tried within the interval, with the time each has been unchanged. It marks them as tried.
func (s *Store) CompanionsDue(ctx context.Context, serverUUID, key string, again time.Duration) ([]ingest.OrphanCompanion, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	return selectAll(ctx, s, "list companions without a file", scanAlone, companionsDue, id, cleanText(key), again)
}

func scanAlone(row pgx.CollectableRow) (a ingest.OrphanCompanion, err error) {
	var path, of []byte
	var secs float64
	err = row.Scan(&path, &of, &a.Size, &a.ModTime, &secs)
	a.Path, a.Of, a.Ignored = string(path), string(of), ingest.IgnoredCompanion
	a.ModTime, a.For = a.ModTime.UTC(), seconds(secs)
	return a, err
}

// filesOfCompanions finds the files of each companion: by path, by the companion recorded with the
// file, and for a companion of a whole folder, at most @limit files of that folder. A file is taken
// when its source was deleted or moved.
const filesOfCompanions = `
WITH o AS (
	SELECT n, path, of, size, mtime, folder
	FROM unnest(@paths::bytea[], @ofs::bytea[], @sizes::bigint[], @mtimes::timestamptz[], @folders::text[]) WITH ORDINALITY AS o (path, of, size, mtime, folder, n)
), matched AS (
	SELECT o.n, f.id FROM o JOIN files f ON o.of <> '' AND f.server_uuid = @server AND f.remote_path_sha256 = sha256(o.of)
	UNION
	SELECT o.n, f.id FROM o JOIN files f ON f.server_uuid = @server AND f.sidecar_raw IS NOT NULL AND sha256(f.sidecar_raw) = sha256(o.path)
	UNION
	SELECT o.n, f.id FROM o JOIN files f ON f.server_uuid = @server AND f.marker_raw IS NOT NULL AND sha256(f.marker_raw) = sha256(o.path)
	UNION
	SELECT o.n, f.id FROM o CROSS JOIN LATERAL (
		SELECT file_id FROM file_names m WHERE o.folder <> '' AND m.path >= o.folder AND m.path < o.folder || U&'\+10FFFF'
		ORDER BY m.path LIMIT @limit
	) m JOIN files f ON f.id = m.file_id
	WHERE f.server_uuid = @server AND position('/' IN substr(f.remote_path, length(o.folder) + 1)) = 0
), candidate AS (
	SELECT o.n, f.id, f.file_uuid,
		f.status = 'completed' AND f.source_left IS NULL AND EXISTS (SELECT FROM file_events e WHERE e.file_id = f.id AND e.event_type = 'source_done') AS taken,
		(f.sidecar_raw, f.sidecar_size, f.sidecar_mtime) = (o.path, o.size, o.mtime) AS as_sidecar,
		(f.marker_raw, f.marker_size, f.marker_mtime) = (o.path, o.size, o.mtime) AS as_marker,
		f.status NOT IN ('completed', 'skipped', 'vanished', 'superseded', 'rejected') OR f.source_left IS NOT NULL AS open
	FROM o JOIN matched USING (n) JOIN files f USING (id)
)
SELECT n, count(*) FILTER (WHERE open), coalesce(bool_or(taken AND (as_sidecar OR as_marker)), false),
	coalesce((array_agg(file_uuid::text ORDER BY id DESC) FILTER (WHERE taken))[1], ''), count(*)
FROM candidate GROUP BY n ORDER BY n`

// maxFolderFiles bounds the files of a folder that a companion is compared with.
const maxFolderFiles = 10_000

// folderOf returns the display path of the folder that a companion covers. It is empty for the
// companion of a single file, and where the path exceeds the indexed prefix.
func folderOf(c ingest.OrphanCompanion) string {
	folder := ingest.DisplayPath(c.Path[:len(c.Path)-len(baseName(c.Path))])
	if c.Of != "" || utf8.RuneCountInString(folder) >= indexedRunes {
		return ""
	}
	return folder
}

// FilesOfCompanions returns, for each companion in order, the state of its files in the ledger.
func (s *Store) FilesOfCompanions(ctx context.Context, serverUUID string, companions []ingest.OrphanCompanion) (all []ingest.CompanionUse, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(companions) == 0 {
		return nil, err
	}
	args := pgx.NamedArgs{
		"server": id, "limit": maxFolderFiles,
		"paths":   column(companions, func(c ingest.OrphanCompanion) []byte { return []byte(c.Path) }),
		"ofs":     column(companions, func(c ingest.OrphanCompanion) []byte { return []byte(c.Of) }),
		"sizes":   column(companions, func(c ingest.OrphanCompanion) int64 { return c.Size }),
		"mtimes":  column(companions, func(c ingest.OrphanCompanion) time.Time { return c.ModTime }),
		"folders": column(companions, folderOf),
	}
	err = s.retry(ctx, "look up files of companions", func() error {
		rows, err := s.pool.Query(ctx, filesOfCompanions, args)
		if err != nil {
			return err
		}
		all = make([]ingest.CompanionUse, len(companions))
		var n int64
		var one struct {
			ingest.CompanionUse
			files int64
		}
		_, err = pgx.ForEachRow(rows, []any{&n, &one.Open, &one.Recorded, &one.Taken, &one.files}, func() error {
			one.Known = true
			if one.files >= maxFolderFiles {
				one.Open++ // the limit may hide more
			}
			all[n-1] = one.CompanionUse
			return nil
		})
		return err
	})
	return all, err
}

const sourcesLeft = `SELECT ` + fileColumns + fromFiles + `
WHERE f.server_uuid = $1 AND f.source_left IS NOT NULL AND f.source_left_at < now() - $2::interval ORDER BY f.source_left_at, f.id LIMIT $3`

// SourcesLeft returns files whose source should have been deleted or moved but still exists,
// and was not tried within the interval; first those that were tried least recently.
func (s *Store) SourcesLeft(ctx context.Context, serverUUID string, untried time.Duration, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	return s.manyFiles(ctx, "list remaining sources", sourcesLeft, id, untried, limit)
}

// The count of sources is capped: it is only a warning.
const leftByServer = `
WITH remaining AS (
	SELECT f.server_uuid FROM files f WHERE f.source_left IS NOT NULL LIMIT 100000
), ignored AS (
	SELECT server_uuid, count(*) FILTER (WHERE reason = 'in_progress') AS in_progress, count(*) FILTER (WHERE reason = 'companion') AS alone,
		(array_agg(path ORDER BY first_seen_at))[1] AS oldest, min(first_seen_at) AS since
	FROM ignored_entries GROUP BY server_uuid
)
SELECT s.server_uuid, (SELECT count(*) FROM remaining l WHERE l.server_uuid = s.server_uuid AND s.after_ingest <> 'keep'),
	coalesce(a.in_progress, 0), coalesce(a.alone, 0), coalesce(a.oldest, ''), a.since
FROM sftp_servers s LEFT JOIN ignored a USING (server_uuid)
WHERE a.server_uuid IS NOT NULL OR s.server_uuid IN (SELECT server_uuid FROM remaining)`

// RemainingByServer returns the remaining sources and ignored entries of each server, by server
// uuid; absent means none.
func (s *Store) RemainingByServer(ctx context.Context) (left map[string]ingest.ServerLeft, err error) {
	err = s.retry(ctx, "count remaining files on servers", func() error {
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
