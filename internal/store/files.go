package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const fileColumns = `f.id, f.file_uuid, f.server_uuid, s.name, s.removed_at IS NOT NULL, f.remote_path_raw, f.size_bytes, f.mtime, f.sidecar_raw, coalesce(f.sidecar_size, 0), f.sidecar_mtime, f.sidecar_stale,
	f.marker_raw, coalesce(f.marker_size, 0), f.marker_mtime, ` + waitsFor + `, f.status,
	coalesce(f.file_hash, ''), coalesce(f.hash_algo, ''), coalesce(f.notified_hash, ''), coalesce(f.error_step, ''), coalesce(f.error_kind, ''), coalesce(f.error_message, ''),
	coalesce(f.minio_bucket, ''), coalesce(f.minio_object_key, ''), coalesce(f.minio_etag, ''), coalesce(f.object_checksum, ''),
	coalesce(f.transfer_mode, ''), coalesce(f.staged_on, ''), f.not_before, f.deferrals, f.fence, f.round, f.stable_since, f.created_at, f.updated_at, f.completed_at,
	CASE WHEN s.after_ingest = 'keep' THEN '' ELSE coalesce(f.source_left, '') END, f.source_left_at,
	` + settlesAt + `, NOT s.is_active, s.state = 'suspended', ` + observationColumns

// waitsFor is the condition that a settling file waits for: the recorded reason, or else its
// checksum file within sidecar_wait.
const waitsFor = `coalesce(f.waits_for, CASE
	WHEN f.status = 'discovered' AND s.sidecar_wait > interval '0' AND f.hold IS DISTINCT FROM 'held' AND (f.sidecar_raw IS NULL OR f.sidecar_stale)
		AND f.last_seen_at - f.stable_since >= s.settle
	THEN CASE WHEN f.sidecar_stale THEN 'a new checksum file' ELSE 'its checksum file' END || ', at most until '
		|| to_char((f.stable_since + s.settle + s.sidecar_wait) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
	END, '')`

const fromFiles = ` FROM files f JOIN sftp_servers s ON s.server_uuid = f.server_uuid `

// fileRow holds the scanned columns of fileColumns.
type fileRow struct {
	file                 ingest.File
	path                 []byte
	sidecar, marker      companionRow
	notBefore, completed *time.Time
	leftAt, settles      *time.Time
	observation          observationRow
}

// targets returns the scan targets in column order.
func (r *fileRow) targets() []any {
	f := &r.file
	return append([]any{
		&f.ID, &f.UUID, &f.ServerUUID, &f.ServerName, &f.ServerRemoved, &r.path, &f.Size, &f.ModTime,
		&r.sidecar.path, &r.sidecar.size, &r.sidecar.modified, &f.SidecarStale, &r.marker.path, &r.marker.size, &r.marker.modified, &f.WaitsFor, &f.Status,
		&f.Hash, &f.HashAlgo, &f.NotifiedHash, &f.ErrorStep, &f.ErrorKind, &f.ErrorMessage, &f.Bucket, &f.ObjectKey, &f.ETag, &f.Checksum,
		&f.Mode, &f.StagedOn, &r.notBefore, &f.Deferrals, &f.Fence, &f.Round, &f.StableSince, &f.CreatedAt, &f.UpdatedAt, &r.completed,
		&f.SourceLeft, &r.leftAt, &r.settles, &f.ServerPaused, &f.ServerSuspended,
	}, r.observation.targets()...)
}

// read converts the row to a file.
func (r *fileRow) read() ingest.File {
	f := r.file
	f.RemotePath, f.Sidecar, f.Marker = string(r.path), r.sidecar.read(), r.marker.read()
	f.Filename = baseName(f.RemotePath)
	f.ModTime, f.StableSince, f.CompletedAt = f.ModTime.UTC(), f.StableSince.UTC(), utc(r.completed)
	f.NotBefore, f.SourceLeftAt, f.SettlesAt = utc(r.notBefore), utc(r.leftAt), utc(r.settles)
	f.CreatedAt, f.UpdatedAt = f.CreatedAt.UTC(), f.UpdatedAt.UTC()
	f.SourceState = r.observation.read()
	if f.Status == ingest.StatusDiscovered && f.WaitsFor == "" {
		f.WaitsFor = f.Waiting()
	}
	return f
}

func scanFile(row pgx.CollectableRow) (ingest.File, error) {
	var r fileRow
	err := row.Scan(r.targets()...)
	return r.read(), err
}

// baseName returns the part after the last slash. path.Base would clean the path, but names on
// servers are used verbatim.
func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

const fileByUUID = `SELECT ` + fileColumns + fromFiles + `WHERE f.file_uuid = $1`

// File returns the file with the uuid, or KindMissing.
func (s *Store) File(ctx context.Context, fileUUID string) (ingest.File, error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return ingest.File{}, err
	}
	return selectOne(ctx, s, "read file", errNo("file with uuid", id), scanFile, fileByUUID, id)
}

func (s *Store) manyFiles(ctx context.Context, op, query string, args ...any) ([]ingest.File, error) {
	return selectAll(ctx, s, op, scanFile, query, args...)
}

const (
	// minPrefix reduces the risk that a typing error matches a file.
	minPrefix = 4
	uuidHex   = 32
)

// A prefix is a range of uuids, which the unique index serves.
const filesByRange = `SELECT ` + fileColumns + fromFiles + `WHERE f.file_uuid BETWEEN $1 AND $2 ORDER BY f.file_uuid LIMIT 2`

// FindFile returns the file whose uuid equals or begins with the text, which needs at least 4
// hex digits. No match is KindMissing, several are KindConflict.
func (s *Store) FindFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error) {
	low, high, err := uuidRange(uuidOrPrefix)
	if err != nil {
		return ingest.File{}, err
	}
	files, err := s.manyFiles(ctx, "find file", filesByRange, low, high)
	switch {
	case err != nil:
		return ingest.File{}, err
	case len(files) == 0:
		return ingest.File{}, errNo("file with uuid", uuidOrPrefix)
	case len(files) > 1:
		return ingest.File{}, ingest.Errorf(ingest.KindConflict, "several uuids begin with %q: enter more digits", uuidOrPrefix)
	}
	return files[0], nil
}

// uuidRange returns the lowest and highest uuid with the prefix.
func uuidRange(prefix string) (low, high string, err error) {
	digits := strings.ReplaceAll(prefix, "-", "")
	if len(digits) < minPrefix || len(digits) > uuidHex {
		return "", "", ingest.Errorf(ingest.KindInvalid, "file %q: enter a uuid, or at least its first %d digits", prefix, minPrefix)
	}
	rest := uuidHex - len(digits)
	first, err := uuid.Parse(digits + strings.Repeat("0", rest))
	if err != nil {
		return "", "", ingest.Errorf(ingest.KindInvalid, "file %q: a uuid contains only the digits 0-9 and a-f", prefix)
	}
	last, err := uuid.Parse(digits + strings.Repeat("f", rest))
	return first.String(), last.String(), err
}

// Files returns the files that the filter selects, in its order. An unknown server is
// KindMissing. With a path or a time in the filter it may read all files; FilesPage does not.
func (s *Store) Files(ctx context.Context, filter ingest.FileFilter) ([]ingest.File, error) {
	where, args, err := s.whereOf(ctx, filter)
	if err != nil {
		return nil, err
	}
	query := fmt.Sprintf("SELECT %s%sWHERE %s ORDER BY f.id %s LIMIT %d",
		fileColumns, fromFiles, where, direction(filter.Order), pageSize(filter.Limit))
	return s.manyFiles(ctx, "list files", query, args...)
}

// CountMatching returns the number of files that the filter selects, regardless of its limit.
func (s *Store) CountMatching(ctx context.Context, filter ingest.FileFilter) (n int64, err error) {
	where, args, err := s.whereOf(ctx, filter)
	if err != nil {
		return 0, err
	}
	err = s.retry(ctx, "count files", func() error {
		return s.pool.QueryRow(ctx, "SELECT count(*) FROM files f WHERE "+where, args...).Scan(&n)
	})
	return n, err
}

// whereOf returns the WHERE clause of the filter and its arguments.
func (s *Store) whereOf(ctx context.Context, filter ingest.FileFilter) (text string, args []any, err error) {
	if filter, err = s.exactSearch(ctx, filter); err != nil {
		return "", nil, err
	}
	var c conditions
	switch {
	case filter.AfterID == 0:
	case filter.Order == ingest.OrderNewest:
		c.add("f.id < %s", filter.AfterID)
	default:
		c.add("f.id > %s", filter.AfterID)
	}
	server := ""
	if filter.Server != "" {
		if server, err = s.ServerUUID(ctx, filter.Server); err != nil {
			return "", nil, err
		}
	}
	if len(filter.UUIDs) > 0 {
		c.add("f.file_uuid = ANY (%s::uuid[])", filter.UUIDs)
	}
	if filter.UUID != "" {
		low, high, err := uuidRange(filter.UUID)
		if err != nil {
			return "", nil, err
		}
		c.add("f.file_uuid >= %s", low)
		c.add("f.file_uuid <= %s", high)
	}
	c.restrict(server, filter.Statuses, filter.Hash)
	c.check(filter)
	return c.where(), c.args, nil
}

// Totals plus deltas that are not folded yet, see migrations/00110_statistics.sql.
const countFiles = `
SELECT server_uuid, status, sum(files)::bigint
FROM (
	SELECT server_uuid, status, files FROM file_counts
	UNION ALL
	SELECT server_uuid, from_status, -files FROM file_deltas WHERE from_status IS NOT NULL
	UNION ALL
	SELECT server_uuid, to_status, files FROM file_deltas WHERE to_status IS NOT NULL
) c
WHERE cardinality($1::text[]) = 0 OR server_uuid = ANY ($1::text[]::uuid[])
GROUP BY server_uuid, status HAVING sum(files) <> 0`

// CountFilesByServer returns the number of files per server uuid and status; no uuids means all
// servers. Absent means 0.
func (s *Store) CountFilesByServer(ctx context.Context, serverUUIDs []string) (counts map[string]map[ingest.Status]int64, err error) {
	err = s.retry(ctx, "count files", func() error {
		rows, err := s.pool.Query(ctx, countFiles, nonNil(serverUUIDs))
		if err != nil {
			return err
		}
		counts = make(map[string]map[ingest.Status]int64)
		var server string
		var status ingest.Status
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&server, &status, &n}, func() error {
			if counts[server] == nil {
				counts[server] = make(map[ingest.Status]int64)
			}
			counts[server][status] = n
			return nil
		})
		return err
	})
	return counts, err
}

// CountFiles returns the number of files of the servers per status; no uuids means all servers.
// Absent means 0.
func (s *Store) CountFiles(ctx context.Context, serverUUIDs []string) (map[ingest.Status]int64, error) {
	byServer, err := s.CountFilesByServer(ctx, serverUUIDs)
	if err != nil {
		return nil, err
	}
	total := make(map[ingest.Status]int64)
	for _, counts := range byServer {
		for status, n := range counts {
			total[status] += n
		}
	}
	return total, nil
}
