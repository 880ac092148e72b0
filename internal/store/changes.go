package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const lastEventID = `SELECT coalesce(max(id), 0) FROM file_events`

// LastEventID returns the id of the latest event, 0 when there is none.
func (s *Store) LastEventID(ctx context.Context) (id int64, err error) {
	err = s.retry(ctx, "find the latest event", func() error { return s.pool.QueryRow(ctx, lastEventID).Scan(&id) })
	return id, err
}

// Ids are given out in one order and committed in another. What follows a gap
// is held back until it is 5 s old: by then the transaction that has the
// missing id has ended, or there is none.
const eventsAfter = `
SELECT e.id, e.event_type, e.timestamp, e.details, f.file_uuid, s.name, f.status,
	e.timestamp < clock_timestamp() - interval '5 seconds'
FROM (SELECT * FROM file_events WHERE id > $1 ORDER BY id LIMIT $2) e
JOIN files f ON f.id = e.file_id JOIN sftp_servers s ON s.server_uuid = f.server_uuid
ORDER BY e.id`

// EventsAfter returns the events of all files after the given id, in the order
// of ids, none left out. limit is the page size: default 100, at most 1000.
func (s *Store) EventsAfter(ctx context.Context, afterID int64, limit int) (events []ingest.LedgerEvent, err error) {
	err = s.retry(ctx, "list what happened", func() error {
		rows, err := s.pool.Query(ctx, eventsAfter, planned([]any{afterID, pageSize(limit)})...)
		if err != nil {
			return err
		}
		events = nil
		var e ingest.LedgerEvent
		var old, held bool
		last := afterID
		_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Type, &e.Timestamp, &e.Details, &e.FileUUID, &e.ServerName, &e.Status, &old}, func() error {
			held = held || e.ID != last+1 && !old
			if !held {
				e.Timestamp = e.Timestamp.UTC()
				events, last = append(events, e), e.ID
			}
			e.Details = nil
			return nil
		})
		return err
	})
	return events, err
}
