package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const fileEvents = `
SELECT e.id, e.event_type, e.timestamp, e.details
FROM file_events e JOIN files f ON f.id = e.file_id
WHERE f.file_uuid = $1 AND e.id > $2 ORDER BY e.id LIMIT $3`

// Events returns the file's events with ids above afterID, in the order of recording. limit is
// the page size: default 100, at most 1000. It returns KindMissing if the file does not exist.
func (s *Store) Events(ctx context.Context, fileUUID string, afterID int64, limit int) (events []ingest.StoredEvent, err error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return nil, err
	}
	events, err = selectAll(ctx, s, "list events", scanEvent, fileEvents, planned([]any{id, afterID, pageSize(limit)})...)
	if err == nil && len(events) == 0 {
		_, err = s.File(ctx, id)
	}
	return events, err
}

func scanEvent(row pgx.CollectableRow) (ingest.StoredEvent, error) {
	var e ingest.StoredEvent
	err := row.Scan(&e.ID, &e.Type, &e.Timestamp, &e.Details)
	e.Timestamp = e.Timestamp.UTC()
	return e, err
}
