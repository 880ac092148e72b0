package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// statisticsCounts sums the counts by hour and by server: one of both is null. Servers
// without activity are included unless they were removed.
const statisticsCounts = `
SELECT hour, coalesce(server_uuid::text, ''), coalesce(name, ''), removed_at IS NOT NULL, coalesce(completed, 0), coalesce(bytes, 0), coalesce(failures, 0)
FROM (
	SELECT hour, server_uuid, sum(completed)::bigint AS completed, sum(bytes)::bigint AS bytes, sum(failures)::bigint AS failures
	FROM (
		SELECT server_uuid, hour, completed, bytes, failures FROM file_hours WHERE hour >= $1
		UNION ALL
		SELECT server_uuid, hour, completed, bytes, failures FROM file_deltas WHERE hour >= $1
	) counts
	WHERE $2::text = '' OR server_uuid = nullif($2, '')::uuid
	GROUP BY GROUPING SETS ((hour), (server_uuid))
) sums FULL JOIN sftp_servers s USING (server_uuid)
WHERE completed IS NOT NULL OR removed_at IS NULL AND ($2::text = '' OR server_uuid = nullif($2, '')::uuid)
ORDER BY name, server_uuid`

// Statistics returns the counts of the period, of the server with the uuid or of all servers if
// it is empty, by bucket and by server. Its cost does not depend on the number of files.
func (s *Store) Statistics(ctx context.Context, serverUUID string, period ingest.Period) (stats ingest.Statistics, err error) {
	if serverUUID != "" {
		if serverUUID, err = validUUID("server with uuid", serverUUID); err != nil {
			return stats, err
		}
	}
	if n, _ := period.Buckets(); n == 0 {
		return stats, ingest.Errorf(ingest.KindInvalid, "period %q: use 24h, 7d or 30d", period)
	}
	err = s.retry(ctx, "read statistics", func() error {
		return pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
			var now time.Time
			if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
				return err
			}
			stats = ingest.NewStatistics(period, now)
			rows, err := tx.Query(ctx, statisticsCounts, stats.Buckets[0].Start, serverUUID)
			if err != nil {
				return err
			}
			var hour *time.Time
			var server ingest.ServerStats
			var c ingest.HourStats
			_, err = pgx.ForEachRow(rows, []any{&hour, &server.ServerUUID, &server.ServerName, &server.ServerRemoved, &c.Completed, &c.Bytes, &c.Failures}, func() error {
				if hour == nil {
					server.Completed, server.Bytes, server.Failures = c.Completed, c.Bytes, c.Failures
					stats.Servers = append(stats.Servers, server)
					return nil
				}
				c.Start = *hour
				stats.Add(c)
				return nil
			})
			return err
		})
	})
	return stats, err
}
