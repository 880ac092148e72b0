package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// beginWait bounds how long a new reader waits for open transactions; beginPoll is the polling
	// interval.
	beginWait = 10 * time.Second
	beginPoll = 20 * time.Millisecond
)

// LastEventID returns an id from which EventsAfter returns every event committed after this
// call. It waits up to 10 s for transactions that are writing events, then returns
// KindTransient.
func (s *Store) LastEventID(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, beginWait, ingest.Errorf(ingest.KindTransient,
		"a transaction has been writing events for over %s: try again", beginWait))
	defer cancel()
	id, open, err := s.writers(ctx)
	tick := time.NewTicker(beginPoll)
	defer tick.Stop()
	for err == nil && len(open) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		var now []string
		_, now, err = s.writers(ctx)
		open = intersect(open, now)
	}
	return id, err
}

const eventsAfter = `
SELECT e.id, e.event_type, e.timestamp, e.details, f.file_uuid, s.name, f.status
FROM (SELECT * FROM file_events WHERE id > $1 ORDER BY id LIMIT $2) e
JOIN files f ON f.id = e.file_id JOIN sftp_servers s ON s.server_uuid = f.server_uuid
ORDER BY e.id`

// EventsAfter returns the events of all files with ids above afterID, ordered by id and without
// gaps. limit is the page size: default 100, at most 1000.
//
// Ids are assigned in one order and committed in another. So events after a missing id are
// withheld until the watermark passes that id: its transaction has ended, with or without the
// event.
func (s *Store) EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error) {
	for retried := false; ; retried = true {
		watermark := s.watermark.current()
		events, err := selectAll(ctx, s, "list events", scanLedgerEvent, eventsAfter, planned([]any{afterID, pageSize(limit)})...)
		if err != nil {
			return nil, err
		}
		withheld := firstWithheld(events, afterID, watermark)
		if withheld == len(events) || retried {
			return events[:withheld], nil
		}
		// Events below the new watermark may be missing from this page: read it again.
		if err := s.advanceWatermark(ctx, events[withheld].ID); err != nil {
			return nil, err
		}
	}
}

// firstWithheld returns the index of the first event after a missing id above the watermark.
// Ids missing up to the watermark stay missing.
func firstWithheld(events []ingest.LedgerEvent, afterID, watermark int64) int {
	last := afterID
	for i, e := range events {
		if e.ID != last+1 && e.ID > watermark+1 {
			return i
		}
		last = e.ID
	}
	return len(events)
}

func scanLedgerEvent(row pgx.CollectableRow) (e ingest.LedgerEvent, err error) {
	err = row.Scan(&e.ID, &e.Type, &e.Timestamp, &e.Details, &e.FileUUID, &e.ServerName, &e.Status)
	e.Timestamp = e.Timestamp.UTC()
	return e, err
}

// intersect returns the elements of a that are in b; it reuses a.
func intersect(a, b []string) []string {
	return slices.DeleteFunc(a, func(e string) bool { return !slices.Contains(b, e) })
}
