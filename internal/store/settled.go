package store

import (
	"context"
	"sync"
)

// settled knows up to which id events are settled: all that ever will be there
// can be read. Whoever takes an id holds the table's lock for writers from
// before until the end of the transaction. So once a read has shown an id, all
// lower ones are settled when every transaction that then held the lock has
// ended, however many began since.
type settled struct {
	mu sync.Mutex
	// last is the highest id that is settled.
	last int64
	// next is settled when none of open is open any more; 0 when nothing is
	// waited for.
	next int64
	open []string
}

func (w *settled) upTo() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// The snapshot is older than the locks: whoever took an id up to the highest one
// in it is among them, or has ended.
const eventWriters = `
SELECT (SELECT coalesce(max(id), 0) FROM file_events), ARRAY(
	SELECT virtualtransaction FROM pg_locks
	WHERE locktype = 'relation' AND relation = 'file_events'::regclass AND mode = 'RowExclusiveLock' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// writers returns the highest id of an event that can be read, and then which
// transactions are open that may have taken one.
func (s *Store) writers(ctx context.Context) (last int64, open []string, err error) {
	err = s.retry(ctx, "find who writes events", func() error {
		return s.pool.QueryRow(ctx, eventWriters).Scan(&last, &open)
	})
	return last, open, err
}

// settle finds out whether more is settled; needed is what a reader waits for.
func (s *Store) settle(ctx context.Context, needed int64) error {
	w := &s.settled
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last >= needed {
		return nil // another reader found out meanwhile
	}
	last, open, err := s.writers(ctx)
	if err != nil {
		return err
	}
	if w.open = both(w.open, open); w.next > 0 && len(w.open) == 0 {
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
