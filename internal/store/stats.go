package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const hourStats = `
SELECT server_uuid, date_trunc('hour', at, 'UTC'), sum(completed), sum(bytes), sum(failures)
FROM (
	SELECT server_uuid, completed_at AS at, 1 AS completed, size_bytes AS bytes, 0 AS failures
	FROM files WHERE status = 'completed' AND completed_at >= $1
	UNION ALL
	SELECT f.server_uuid, e.timestamp, 0, 0, 1
	FROM file_events e JOIN files f ON f.id = e.file_id WHERE e.event_type = 'error' AND e.timestamp >= $1
) happened
GROUP BY 1, 2`

// Stats says where all files stand and what happened in the last hours.
func (s *Store) Stats(ctx context.Context) (stats ingest.Stats, err error) {
	err = s.retry(ctx, "read the database's clock", func() error {
		return s.pool.QueryRow(ctx, `SELECT now()`).Scan(&stats.At)
	})
	if err != nil {
		return stats, err
	}
	stats.At = stats.At.UTC()
	if stats.Files, err = s.CountFilesByServer(ctx, nil); err != nil {
		return stats, err
	}
	if stats.Hours, err = s.hourStats(ctx, stats.At); err != nil {
		return stats, err
	}
	if stats.OldestInError, err = s.oldest(ctx, ingest.StatusError); err != nil {
		return stats, err
	}
	stats.OldestInFlight, err = s.oldest(ctx, ingest.InFlight...)
	return stats, err
}

func (s *Store) oldest(ctx context.Context, statuses ...ingest.Status) (*ingest.File, error) {
	page, err := s.FilesPage(ctx, ingest.FileFilter{Statuses: statuses, Limit: 1})
	if err != nil || len(page.Files) == 0 {
		return nil, err
	}
	return &page.Files[0], nil
}

func (s *Store) hourStats(ctx context.Context, at time.Time) (hours map[string][]ingest.HourStats, err error) {
	first := ingest.NoHours(at)[0].Start
	err = s.retry(ctx, "count what happened by the hour", func() error {
		rows, err := s.pool.Query(ctx, hourStats, first)
		if err != nil {
			return err
		}
		hours = make(map[string][]ingest.HourStats)
		var server string
		var h ingest.HourStats
		_, err = pgx.ForEachRow(rows, []any{&server, &h.Start, &h.Completed, &h.Bytes, &h.Failures}, func() error {
			h.Start = h.Start.UTC()
			i := int(h.Start.Sub(first) / time.Hour)
			if i >= ingest.StatsHours {
				return nil // it became another hour meanwhile
			}
			if hours[server] == nil {
				hours[server] = ingest.NoHours(at)
			}
			hours[server][i] = h
			return nil
		})
		return err
	})
	return hours, err
}
