package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const statisticsHours = `
SELECT hour, sum(completed)::bigint, sum(bytes)::bigint, sum(failures)::bigint
FROM (
	SELECT server_uuid, hour, completed, bytes, failures FROM file_hours WHERE hour >= $1
	UNION ALL
	SELECT server_uuid, hour, completed, bytes, failures FROM file_deltas WHERE hour >= $1
) counts
WHERE $2::text = '' OR server_uuid = nullif($2, '')::uuid
GROUP BY hour`

// Statistics returns the counts of the period, of the server with the uuid or of all servers if
// it is empty. Its cost does not depend on the number of files.
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
			rows, err := tx.Query(ctx, statisticsHours, stats.Buckets[0].Start, serverUUID)
			if err != nil {
				return err
			}
			var h ingest.HourStats
			_, err = pgx.ForEachRow(rows, []any{&h.Start, &h.Completed, &h.Bytes, &h.Failures}, func() error {
				stats.Add(h)
				return nil
			})
			return err
		})
	})
	return stats, err
}
