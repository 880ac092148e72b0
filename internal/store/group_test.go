package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

// step is a change to the status with one event.
func step(fileUUID string, to ingest.Status, event ingest.EventType) ingest.Change {
	return ingest.Change{FileUUID: fileUUID, To: to, Events: []ingest.Event{{Type: event}}}
}

// Invalid changes of a group are refused, each with its own error; all others are committed.
func TestBadChangesOfAGroupHarmNoOther(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*ingest.Change){
		"refused": func(*ingest.Change) {},
		// These make the transaction fail.
		"key of another file": func(c *ingest.Change) { key := "taken"; c.Set.ObjectKey = &key },
		"invalid text":        func(c *ingest.Change) { etag := "\xff"; c.Set.ETag = &etag },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.observe(t, paths("/in", store.MaxGroup+1)...)
			b.promote(t, 0)
			all := uuids(b.files(t))
			owner, key := all[store.MaxGroup], "taken"
			require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: owner, Set: ingest.Columns{ObjectKey: &key}}))
			changes := make([]ingest.Change, store.MaxGroup)
			for i := range changes {
				changes[i] = step(all[i], ingest.StatusDownloading, ingest.EventDownloadStarted)
			}
			changes[3].Fence = 7
			changes[11].To = ingest.StatusCompleted
			changes[19].FileUUID = uuid.NewString()
			changes[27].Slot = 1
			spoil(&changes[40])

			errs := b.Together(t.Context(), changes...)
			requireKind(t, ingest.KindFenced, errs[3], "was claimed by attempt 0")
			requireKind(t, ingest.KindConflict, errs[11], "is ready and cannot become completed")
			requireKind(t, ingest.KindMissing, errs[19], "no file with uuid")
			requireKind(t, ingest.KindNoSlot, errs[27], "does not hold slot 1")
			bad := map[int]bool{3: true, 11: true, 19: true, 27: true}
			switch name {
			case "key of another file":
				requireKind(t, ingest.KindConflict, errs[40], `object key "taken" belongs to another file`)
				bad[40] = true
			case "invalid text":
				requireKind(t, ingest.KindInvalid, errs[40], "invalid byte sequence")
				bad[40] = true
			}
			for i, f := range b.files(t)[:store.MaxGroup] {
				if bad[i] {
					assert.Equal(t, ingest.StatusReady, f.Status, i)
					continue
				}
				require.NoError(t, errs[i], i)
				assert.Equal(t, ingest.StatusDownloading, f.Status, i)
				types, _ := b.eventTypes(t, f.UUID)
				assert.Len(t, types, 3, i)
			}
			b.requireExact(t)
		})
	}
}

// Concurrent changes share commits, and a single caller does not wait.
func TestConcurrentChangesShareCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const files = 400
	b.observe(t, paths("/in", files)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	xid := func() (n int64) {
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT count(DISTINCT xmin::text) FROM files").Scan(&n))
		return n
	}
	var group errgroup.Group
	group.SetLimit(64)
	for _, file := range all {
		group.Go(func() error {
			return b.Apply(t.Context(), step(file, ingest.StatusDownloading, ingest.EventDownloadStarted))
		})
	}
	require.NoError(t, group.Wait())
	commits := xid()
	t.Logf("%d changes in %d commits", files, commits)
	require.Less(t, commits, int64(files/2))
	b.requireExact(t)
}

// locked holds the lock of a file's row until the returned function is called.
func (b *testBundle) locked(t *testing.T, fileUUIDs ...string) (release func()) {
	t.Helper()
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), "SELECT FROM files WHERE file_uuid = ANY ($1::uuid[]) FOR NO KEY UPDATE", fileUUIDs)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback(t.Context())) }
}

// A file locked by another transaction delays only its own changes, in their order.
func TestALockedFileHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 4)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	release := b.locked(t, all[0], all[2], all[3])
	results := make(chan error, 4)
	for i, file := range []string{all[2], all[3], all[0]} { // more requests than groups
		go func() { results <- b.Apply(t.Context(), step(file, ingest.StatusDownloading, "first")) }()
		b.waitForLocks(t, i+1)
	}
	go func() { results <- b.Apply(t.Context(), step(all[0], ingest.StatusDownloaded, "second")) }()
	b.walk(t, all[1], ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified)
	require.Empty(t, results)
	release()
	for range 4 {
		require.NoError(t, <-results)
	}
	types, _ := b.eventTypes(t, all[0])
	require.Equal(t, []ingest.EventType{ingest.EventDiscovered, ingest.EventSettled, "first", "second"}, types)
}

// Changes of one file are committed in order, however many are in flight.
func TestChangesOfOneFileKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 20)...)
	b.promote(t, 0)
	var group errgroup.Group
	for _, file := range uuids(b.files(t)) {
		group.Go(func() error {
			for i := range 30 {
				to := []ingest.Status{ingest.StatusDownloading, ingest.StatusReady}[i%2]
				event := ingest.Event{Type: "step", Key: fmt.Sprint(i)}
				if err := b.Apply(t.Context(), ingest.Change{FileUUID: file, To: to, Events: []ingest.Event{event}}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	var wrong int
	require.NoError(t, b.db.QueryRow(t.Context(), `
		SELECT count(*) FROM (SELECT fact_key::int AS key, row_number() OVER (PARTITION BY file_id ORDER BY id) - 1 AS n
			FROM file_events WHERE event_type = 'step') e WHERE key <> n`).Scan(&wrong))
	require.Zero(t, wrong)
	b.requireExact(t)
}

// A cancelled caller returns immediately; other and later changes are not affected, and Close
// leaves no goroutine.
func TestACancelledCallerReturnsImmediately(t *testing.T) {
	b := setup(t)
	f := b.ready(t, "/a")
	before := goleak.IgnoreCurrent()
	s, err := store.New(t.Context(), store.Config{DatabaseURL: b.dsn})
	require.NoError(t, err)
	release := b.locked(t, f.UUID)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- s.Apply(ctx, step(f.UUID, ingest.StatusDownloading, "first")) }()
	b.waitForLock(t)
	waiting, leave := context.WithCancel(t.Context())
	go func() { done <- s.Apply(waiting, step(f.UUID, ingest.StatusDownloading, "second")) }()
	leave()
	require.ErrorIs(t, <-done, context.Canceled)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	release()
	require.NoError(t, s.Apply(t.Context(), step(f.UUID, ingest.StatusDownloading, "third")))
	s.Close()
	err = s.Apply(t.Context(), step(f.UUID, ingest.StatusDownloaded, "fourth"))
	requireKind(t, ingest.KindTransient, err, "the ledger is closed")
	goleak.VerifyNone(t, before)
}

// Close waits for changes that are being committed.
func TestCloseWaitsForChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	s, err := store.New(t.Context(), store.Config{DatabaseURL: b.dsn})
	require.NoError(t, err)
	release := b.locked(t, f.UUID)
	applied := make(chan error, 2)
	go func() { applied <- s.Apply(t.Context(), step(f.UUID, ingest.StatusDownloading, "first")) }()
	b.waitForLock(t)
	s.Submit(step(f.UUID, ingest.StatusDownloaded, "second"), applied)
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Fatal("closed while a change was being committed")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	require.NoError(t, <-applied)
	require.NoError(t, <-applied)
	<-closed
}

// Concurrent claims, fenced changes and operator actions of two processes are serializable:
// each success is recorded once, each refusal has a kind that a serial order explains, and no
// fence is issued twice.
func TestConcurrentChangesFromTwoProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 6)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	other, err := store.New(t.Context(), store.Config{DatabaseURL: b.dsn})
	require.NoError(t, err)
	t.Cleanup(other.Close)
	var recorded, claims, rounds atomic.Int64
	var group errgroup.Group
	for worker := range 24 {
		s := []*store.Store{b.Store, other}[worker%2]
		group.Go(func() error {
			for i := range 25 {
				key := fmt.Sprintf("%d/%d", worker, i)
				err := randomChange(t.Context(), s, all[rand.IntN(len(all))], key, &recorded, &claims, &rounds)
				switch ingest.KindOf(err) {
				case ingest.KindFenced, ingest.KindConflict:
				default:
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	var events, fences, began int64
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM file_events WHERE event_type IN ('step', 'operator_action')),
		sum(fence), sum(round) FROM files`).Scan(&events, &fences, &began))
	assert.Equal(t, []int64{recorded.Load(), claims.Load(), rounds.Load()}, []int64{events, fences, began})
	b.requireExact(t)
}

func randomChange(ctx context.Context, s *store.Store, file, key string, recorded, claims, rounds *atomic.Int64) error {
	to := []ingest.Status{ingest.StatusReady, ingest.StatusDownloading, ingest.StatusError}[rand.IntN(3)]
	change := ingest.Change{FileUUID: file, To: to, Events: []ingest.Event{{Type: "step", Key: key}}}
	count := func(n *atomic.Int64, err error) error {
		if err == nil {
			n.Add(1)
			recorded.Add(1)
		}
		return err
	}
	switch rand.IntN(3) {
	case 0:
		_, err := s.ClaimAndApply(ctx, change)
		return count(claims, err)
	case 1:
		claimed, err := s.Claim(ctx, file)
		if err != nil {
			return err
		}
		claims.Add(1)
		change.Fence = claimed.Fence
		return count(new(atomic.Int64), s.Apply(ctx, change))
	default:
		change = ingest.OperatorActed(file, ingest.OperatorAction{Action: ingest.ActionRetry, Key: key})
		err := count(rounds, s.Apply(ctx, change))
		if err == nil {
			err = s.Apply(ctx, change) // a repetition changes nothing
		}
		return err
	}
}
