package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// All are counted in the index files_deferred; only the next one is read.
const putOffOf = `
SELECT d.server_uuid, d.files, f.remote_path, coalesce(f.error_message, ''), f.not_before FROM (
	SELECT server_uuid, count(*) AS files FROM files
	WHERE status = 'ready' AND not_before IS NOT NULL AND (cardinality($1::text[]) = 0 OR server_uuid = ANY ($1::text[]::uuid[]))
	GROUP BY server_uuid
) d CROSS JOIN LATERAL (
	SELECT remote_path, error_message, not_before FROM files f
	WHERE f.server_uuid = d.server_uuid AND f.status = 'ready' AND f.not_before IS NOT NULL ORDER BY f.not_before, f.id LIMIT 1
) f`

// putOff says of the servers why files of them wait for their next try.
func (s *Store) putOff(ctx context.Context, serverUUIDs []string, all map[string]ingest.Attention) error {
	rows, err := s.pool.Query(ctx, putOffOf, nonNil(serverUUIDs))
	if err != nil {
		return err
	}
	var server, path, why string
	var files int64
	var next time.Time
	_, err = pgx.ForEachRow(rows, []any{&server, &files, &path, &why, &next}, func() error {
		a := all[server]
		a.PutOff = fmt.Sprintf("%d could not be fetched and are tried again, the next after %s: %s: %s",
			files, next.UTC().Format(time.RFC3339), path, why)
		all[server] = a
		return nil
	})
	return err
}
