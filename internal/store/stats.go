package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const clockAndDeltas = `SELECT now(), (SELECT count(*) FROM file_deltas)`

const hourStats = `
SELECT server_uuid, hour, sum(completed)::bigint, sum(bytes)::bigint, sum(failures)::bigint
FROM (
	SELECT server_uuid, hour, completed, bytes, failures FROM file_hours WHERE hour >= $1
	UNION ALL
	SELECT server_uuid, hour, completed, bytes, failures FROM file_deltas WHERE hour >= $1
) counts
GROUP BY server_uuid, hour`

// Stats returns the number of files by status and the counts of the last hours. Its cost does
// not depend on the number of files.
func (s *Store) Stats(ctx context.Context) (stats ingest.Stats, err error) {
	var unfolded int64
	err = s.retry(ctx, "read the database's clock", func() error {
		return s.pool.QueryRow(ctx, clockAndDeltas).Scan(&stats.At, &unfolded)
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
	if stats.OldestInFlight, err = s.oldest(ctx, begun...); err != nil {
		return stats, err
	}
	if unfolded >= foldEvery { // the process that appended them may have ended
		_ = s.fold(ctx)
	}
	return stats, nil
}

// begun lists the statuses of files in flight that do not wait for a slot: a long queue is not
// stuck.
var begun = slices.DeleteFunc(slices.Clone(ingest.InFlight), func(s ingest.Status) bool { return s == ingest.StatusReady })

func (s *Store) oldest(ctx context.Context, statuses ...ingest.Status) (*ingest.File, error) {
	page, err := s.FilesPage(ctx, ingest.FileFilter{Statuses: statuses, Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return nil, err
	}
	return &page.Items[0], nil
}

func (s *Store) hourStats(ctx context.Context, at time.Time) (hours map[string][]ingest.HourStats, err error) {
	first := ingest.NoHours(at)[0].Start
	err = s.retry(ctx, "read hourly counts", func() error {
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
				return nil // a new hour has begun since
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
