package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// Files that ended without an object are not audited.
const filesWithoutKey = `SELECT ` + fileColumns + fromFiles + `
WHERE f.minio_object_key IS NULL AND f.status <> ALL ('{skipped,vanished,superseded,rejected}') AND f.id > $1
	AND (cardinality($2::text[]) = 0 OR f.server_uuid = ANY ($2::text[]::uuid[]))
ORDER BY f.id LIMIT $3`

// Byte order, as in the index files_object_key and in listings of object stores.
const filesByKey = `SELECT ` + fileColumns + fromFiles + `
WHERE f.minio_object_key COLLATE "C" > $1
	AND (cardinality($2::text[]) = 0 OR f.server_uuid = ANY ($2::text[]::uuid[]))
ORDER BY f.minio_object_key COLLATE "C" LIMIT $3`

// HistoriesWithoutKey returns a page of the files without an object key, ordered by id. It
// excludes skipped, vanished, superseded and rejected files. Completed files carry their events
// of the types q.Events.
func (s *Store) HistoriesWithoutKey(ctx context.Context, q ingest.HistoryQuery) ([]ingest.History, error) {
	files, err := s.manyFiles(ctx, "list files without an object", filesWithoutKey, q.AfterID, nonNil(q.Servers), pageSize(q.Limit))
	if err != nil {
		return nil, err
	}
	return s.histories(ctx, files, q.Events)
}

// HistoriesByKey returns a page of the files with an object key, in byte order of the keys.
// Completed files carry their events of the types q.Events.
func (s *Store) HistoriesByKey(ctx context.Context, q ingest.HistoryQuery) ([]ingest.History, error) {
	files, err := s.manyFiles(ctx, "list files by object", filesByKey, q.AfterKey, nonNil(q.Servers), pageSize(q.Limit))
	if err != nil {
		return nil, err
	}
	return s.histories(ctx, files, q.Events)
}

const eventsOfFiles = `
SELECT file_id, id, event_type, timestamp FROM file_events
WHERE file_id = ANY ($1) AND event_type = ANY ($2) ORDER BY id`

// histories adds the events. They are read after the rows, so that the events of a completed
// row are all there.
func (s *Store) histories(ctx context.Context, files []ingest.File, types []ingest.EventType) ([]ingest.History, error) {
	all := make([]ingest.History, len(files))
	index := make(map[int64]int, len(files))
	var completed []int64
	for i, file := range files {
		all[i].File, index[file.ID] = file, i
		if file.Status == ingest.StatusCompleted {
			completed = append(completed, file.ID)
		}
	}
	if len(completed) == 0 {
		return all, nil
	}
	err := s.retry(ctx, "list events of files", func() error {
		for i := range all {
			all[i].Events = nil
		}
		rows, err := s.pool.Query(ctx, eventsOfFiles, completed, types)
		if err != nil {
			return err
		}
		var file int64
		var e ingest.StoredEvent
		_, err = pgx.ForEachRow(rows, []any{&file, &e.ID, &e.Type, &e.Timestamp}, func() error {
			history := &all[index[file]]
			history.Events = append(history.Events, e)
			return nil
		})
		return err
	})
	return all, err
}

const hasObjectKey = `SELECT EXISTS (SELECT FROM files WHERE minio_object_key COLLATE "C" = $1)`

// HasObjectKey reports whether a file in the ledger has the object key.
func (s *Store) HasObjectKey(ctx context.Context, key string) (has bool, err error) {
	err = s.retry(ctx, "look for an object key", func() error {
		return s.pool.QueryRow(ctx, hasObjectKey, cleanText(key)).Scan(&has)
	})
	return has, err
}

// As in selectKnown, each branch is one index probe, however many versions a path has.
const filesSeen = `
WITH o AS (
	SELECT size, mtime, sha256(path) AS path FROM unnest(@paths::bytea[], @sizes::bigint[], @mtimes::timestamptz[]) AS o (path, size, mtime)
), known AS (
	SELECT f.id FROM o JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.size_bytes = o.size AND f.mtime = o.mtime
	UNION
	SELECT f.id FROM o JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.status = 'discovered'
	UNION
	SELECT f.id FROM o JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.status = 'rejected'
	UNION
	SELECT f.id FROM o JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.shown_mtime = o.mtime AND f.shown_size = o.size
	UNION
	SELECT f.id FROM o JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.status = 'error' AND f.error_kind = 'unsettled'
	UNION
	SELECT max(f.id) FROM sftp_servers s JOIN o ON s.options->>'identity' IN ('size', 'size+hash')
	JOIN files f ON f.server_uuid = @server AND f.remote_path_sha256 = o.path AND f.size_bytes = o.size AND f.status <> 'superseded'
	WHERE s.server_uuid = @server GROUP BY o.path
)
SELECT ` + fileColumns + ` FROM known JOIN files f USING (id) JOIN sftp_servers s ON s.server_uuid = f.server_uuid`

// FilesSeen returns the rows of the observed paths, in no order: the observed versions, by the
// server's identity rule or as listings show them, other settling versions, unsettled files and
// rejections.
func (s *Store) FilesSeen(ctx context.Context, serverUUID string, seen []ingest.Observation) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(seen) == 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "look up observed files", filesSeen, versionArgs(id, distinct(seen)))
}
