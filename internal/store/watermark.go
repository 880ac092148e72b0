package store

import (
	"context"
	"sync"
)

// watermark tracks the id up to which events are final: no event can still appear below it. A
// transaction that takes an id holds the table's writer lock from before that until its end. So
// once a read has returned an id, all lower ids are final when every transaction that held the
// lock at that time has ended.
type watermark struct {
	mu sync.Mutex
	// last is the watermark.
	last int64
	// next becomes the watermark when all transactions in open have ended; 0 means none is pending.
	next int64
	open []string
}

func (w *watermark) current() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// The snapshot is older than the list of locks: every transaction that took an id up to its
// highest is in the list, or has ended.
const eventWriters = `
SELECT (SELECT coalesce(max(id), 0) FROM file_events), ARRAY(
	SELECT virtualtransaction FROM pg_locks
	WHERE locktype = 'relation' AND relation = 'file_events'::regclass AND mode = 'RowExclusiveLock' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// writers returns the highest visible event id, and then the open transactions that may have
// taken a lower one.
func (s *Store) writers(ctx context.Context) (last int64, open []string, err error) {
	err = s.retry(ctx, "list writers of events", func() error {
		return s.pool.QueryRow(ctx, eventWriters).Scan(&last, &open)
	})
	return last, open, err
}

// advanceWatermark tries to advance the watermark to needed or beyond.
func (s *Store) advanceWatermark(ctx context.Context, needed int64) error {
	w := &s.watermark
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last >= needed {
		return nil // another reader advanced it
	}
	last, open, err := s.writers(ctx)
	if err != nil {
		return err
	}
	if w.open = intersect(w.open, open); w.next > 0 && len(w.open) == 0 {
		w.last, w.next = max(w.last, w.next), 0
	}
	switch {
	case len(open) == 0:
		w.last, w.next = max(w.last, last), 0
	case w.next == 0:
		w.next, w.open = last, open
	}
	return nil
}
