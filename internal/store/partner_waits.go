package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// partnerWaits counts the unfinished files of servers: those that wait for the partner, and
// the others. Held files wait for an operator and are excluded. waits_for is recorded for a
// missing marker or a size below min_size. In flight, hash_mismatch means a checksum file that
// is read again for some time, because it may still change.
const partnerWaits = `
WITH unfinished AS (
	SELECT f.server_uuid, ` + waitsFor + ` AS wanted, f.hold IS NOT DISTINCT FROM 'held' AS held,
		f.waits_for IS NOT NULL AS early, f.size_bytes < coalesce(CASE jsonb_typeof(s.options -> 'min_size') WHEN 'number' THEN (s.options ->> 'min_size')::numeric END, 0) AS small,
		f.status IN ('downloading', 'downloaded') AND f.error_kind IS NOT DISTINCT FROM 'hash_mismatch' AS misfit, f.error_message
	FROM files f JOIN sftp_servers s ON s.server_uuid = f.server_uuid
	WHERE f.server_uuid = ANY ($1::text[]::uuid[]) AND f.status IN ('discovered', 'ready', 'downloading', 'downloaded', 'verified', 'uploading', 'uploaded')
), counted AS (
	SELECT server_uuid, count(*) FILTER (WHERE (wanted <> '' OR misfit) AND NOT held) AS files,
		count(*) FILTER (WHERE early AND NOT small AND NOT held) AS markers,
		count(*) FILTER (WHERE early AND small AND NOT held) AS small,
		coalesce(min(CASE WHEN wanted <> '' THEN wanted ELSE error_message END) FILTER (WHERE (wanted <> '' OR misfit) AND NOT held), '') AS example,
		count(*) FILTER (WHERE wanted = '' AND NOT misfit AND NOT held) AS others
	FROM unfinished GROUP BY server_uuid
)
SELECT c.server_uuid, c.files, c.markers, c.small, c.example, c.others, coalesce((
	SELECT max(started_at) FROM scans x WHERE x.server_uuid = c.server_uuid AND x.finished_at IS NOT NULL AND x.error IS NULL), 'epoch')
FROM counted c`

// PartnerWaits returns the number of files that wait for an action of the partner, by server
// uuid; absent means no unfinished files.
func (s *Store) PartnerWaits(ctx context.Context, serverUUIDs []string) (all map[string]ingest.PartnerWait, err error) {
	err = s.retry(ctx, "count files that wait for partners", func() error {
		rows, err := s.pool.Query(ctx, partnerWaits, nonNil(serverUUIDs))
		if err != nil {
			return err
		}
		all = make(map[string]ingest.PartnerWait)
		var server string
		var one ingest.PartnerWait
		var listed time.Time
		_, err = pgx.ForEachRow(rows, []any{&server, &one.Files, &one.Markers, &one.Small, &one.Example, &one.Others, &listed}, func() error {
			one.ListedAt = listed.UTC()
			all[server] = one
			return nil
		})
		return err
	})
	return all, err
}
