package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// The index by status, or by server and status, finds the failed files: the cost depends on
// their number, not on the number of all files. A failed file's row changes only when it fails
// again.
const failureGroups = `
SELECT s.server_uuid, s.name, coalesce(f.error_kind, ''), coalesce(f.error_step, ''), f.n, f.since, f.latest, l.file_uuid, coalesce(l.error_message, '')
FROM (
	SELECT server_uuid, error_kind, error_step, count(*) AS n, min(updated_at) AS since, max(updated_at) AS latest,
		(array_agg(id ORDER BY updated_at DESC, id DESC))[1] AS latest_id
	FROM files WHERE status = 'error' AND ($1::text = '' OR server_uuid = nullif($1, '')::uuid)
	GROUP BY server_uuid, error_kind, error_step
	ORDER BY count(*) DESC, max(updated_at) DESC, latest_id LIMIT $2
) f JOIN sftp_servers s USING (server_uuid) JOIN files l ON l.id = f.latest_id
ORDER BY f.n DESC, f.latest DESC, f.latest_id`

// FailureGroups returns at most limit groups of failed files, the largest first, grouped by
// server, error kind and step. An empty uuid means all servers.
func (s *Store) FailureGroups(ctx context.Context, serverUUID string, limit int) (groups []ingest.FailureGroup, err error) {
	if serverUUID != "" {
		if serverUUID, err = validUUID("server with uuid", serverUUID); err != nil {
			return nil, err
		}
	}
	return selectAll(ctx, s, "group failures", scanFailureGroup, failureGroups, planned([]any{serverUUID, limit})...)
}

func scanFailureGroup(row pgx.CollectableRow) (g ingest.FailureGroup, err error) {
	err = row.Scan(&g.ServerUUID, &g.ServerName, &g.Kind, &g.Step, &g.Count, &g.Since, &g.Latest, &g.FileUUID, &g.Message)
	g.Since, g.Latest = g.Since.UTC(), g.Latest.UTC()
	return g, err
}
