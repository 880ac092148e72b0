package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// beginWait bounds how long a new reader waits for transactions that are
	// open, beginPoll is how often it looks.
	beginWait = 10 * time.Second
	beginPoll = 20 * time.Millisecond
)

// LastEventID returns an id from which EventsAfter gives every event that is
// committed after this call: none with a lower id is under way any more. It
// waits for transactions that are writing events, up to 10 s; those that last
// longer are KindTransient.
func (s *Store) LastEventID(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, beginWait, ingest.Errorf(ingest.KindTransient,
		"a transaction has been writing events for %s: try again", beginWait))
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
		open = both(open, now)
	}
	return id, err
}

const eventsAfter = `
SELECT e.id, e.event_type, e.timestamp, e.details, f.file_uuid, s.name, f.status
FROM (SELECT * FROM file_events WHERE id > $1 ORDER BY id LIMIT $2) e
JOIN files f ON f.id = e.file_id JOIN sftp_servers s ON s.server_uuid = f.server_uuid
ORDER BY e.id`

// EventsAfter returns the events of all files after the given id, in the order
// of ids, none left out. limit is the page size: default 100, at most 1000.
//
// Ids are given out in one order and committed in another. What follows a
// missing id is held back until that id is settled: its transaction has ended,
// so that its event is there or never will be.
func (s *Store) EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error) {
	for tried := false; ; tried = true {
		settled := s.settled.upTo()
		events, err := s.readEvents(ctx, afterID, limit)
		if err != nil {
			return nil, err
		}
		held := firstHeld(events, afterID, settled)
		if held == len(events) || tried {
			return events[:held], nil
		}
		// What is settled only now may have come between: it is read again.
		if err := s.settle(ctx, events[held].ID); err != nil {
			return nil, err
		}
	}
}

// firstHeld returns the index of the first event behind an id that is missing
// and not settled; all that is missing up to settled is missing for good.
func firstHeld(events []ingest.LedgerEvent, afterID, settled int64) int {
	last := afterID
	for i, e := range events {
		if e.ID != last+1 && e.ID > settled+1 {
			return i
		}
		last = e.ID
	}
	return len(events)
}

func (s *Store) readEvents(ctx context.Context, afterID int64, limit int) (events []ingest.LedgerEvent, err error) {
	err = s.retry(ctx, "list what happened", func() error {
		rows, err := s.pool.Query(ctx, eventsAfter, planned([]any{afterID, pageSize(limit)})...)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e ingest.LedgerEvent, err error) {
			err = row.Scan(&e.ID, &e.Type, &e.Timestamp, &e.Details, &e.FileUUID, &e.ServerName, &e.Status)
			e.Timestamp = e.Timestamp.UTC()
			return e, err
		})
		return err
	})
	return events, err
}

// both returns what is in both lists.
func both(a, b []string) []string {
	return slices.DeleteFunc(a, func(one string) bool { return !slices.Contains(b, one) })
}
