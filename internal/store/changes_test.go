package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// writer is a transaction that adds events to the only file.
type writer struct{ pgx.Tx }

func (b *testBundle) writer(t *testing.T) writer {
	t.Helper()
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return writer{tx}
}

// add appends an event and returns its id. Its timestamp may be much older than its commit.
func (w writer) add(t *testing.T, name string) (id int64) {
	t.Helper()
	require.NoError(t, w.QueryRow(t.Context(), `
		INSERT INTO file_events (file_id, event_type, timestamp) SELECT id, $1, now() - interval '1 hour' FROM files RETURNING id`, name).Scan(&id))
	return id
}

func (w writer) commit(t *testing.T) { require.NoError(t, w.Commit(t.Context())) }

// changes returns the types of the events that EventsAfter returns.
func (b *testBundle) changes(t *testing.T, after int64) (types []ingest.EventType) {
	t.Helper()
	events, err := b.EventsAfter(t.Context(), after, 100)
	require.NoError(t, err)
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

// TestChangesWaitForLowerIDs: an event is returned only when no open transaction can commit one
// with a lower id, however old either is.
func TestChangesWaitForLowerIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/in/a.csv", 1))
	begin, err := b.LastEventID(t.Context())
	require.NoError(t, err)

	slow, fast := b.writer(t), b.writer(t)
	slow.add(t, "first")
	fast.add(t, "second")
	fast.commit(t)
	require.Empty(t, b.changes(t, begin), "the first may still be committed")
	later := b.writer(t) // keeps the table in use
	later.add(t, "third")
	require.Empty(t, b.changes(t, begin))
	slow.commit(t)
	require.Equal(t, []ingest.EventType{"first", "second"}, b.changes(t, begin), "an open transaction with a higher id does not block")
	later.commit(t)
	require.Equal(t, []ingest.EventType{"first", "second", "third"}, b.changes(t, begin))
}

// TestChangesSkipRolledBackIDs: no transaction can still use them.
func TestChangesSkipRolledBackIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/in/a.csv", 1))
	begin, err := b.LastEventID(t.Context())
	require.NoError(t, err)
	failed, fine := b.writer(t), b.writer(t)
	failed.add(t, "failed")
	fine.add(t, "fine")
	fine.commit(t)
	require.NoError(t, failed.Rollback(t.Context()))
	require.Equal(t, []ingest.EventType{"fine"}, b.changes(t, begin), "immediately")

	// With continuous writers, the watermark advances once the earlier ones have ended.
	failed, fine = b.writer(t), b.writer(t)
	failed.add(t, "failed")
	fine.add(t, "better")
	fine.commit(t)
	require.NoError(t, failed.Rollback(t.Context()))
	open := b.writer(t)
	open.add(t, "open")
	require.Equal(t, []ingest.EventType{"fine"}, b.changes(t, begin))
	another := b.writer(t)
	another.add(t, "another")
	require.NoError(t, open.Rollback(t.Context()))
	require.Equal(t, []ingest.EventType{"fine", "better"}, b.changes(t, begin))
}

// TestReadersStartBelowOpenTransactions: events committed after LastEventID have higher ids.
func TestReadersStartBelowOpenTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/in/a.csv", 1))
	slow, fast := b.writer(t), b.writer(t)
	first := slow.add(t, "first")
	second := fast.add(t, "second")
	require.Less(t, first, second)
	fast.commit(t)
	begun := make(chan int64, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		id, err := b.LastEventID(ctx)
		if err != nil {
			t.Error(err)
		}
		begun <- id
	}()
	select {
	case id := <-begun:
		slow.commit(t)
		require.Contains(t, b.changes(t, id), ingest.EventType("first"), "began at %d", id)
	case <-time.After(300 * time.Millisecond):
		slow.commit(t)
		require.EqualValues(t, second, <-begun)
	}
}
