package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// dispatcher reserves slots of the bundle's server.
type dispatcher struct {
	*testBundle
	fence int64
}

func (b *testBundle) dispatcher(t *testing.T) dispatcher {
	t.Helper()
	fence, err := b.RegisterDispatcher(t.Context(), b.server.UUID)
	require.NoError(t, err)
	return dispatcher{b, fence}
}

func (d dispatcher) reserve(t *testing.T, limit int) ingest.Reservation {
	t.Helper()
	r, err := d.ReserveSlots(t.Context(), d.server.UUID, d.fence, limit)
	require.NoError(t, err)
	return r
}

func slotFiles(slots []ingest.Slot) (files []string) {
	for _, slot := range slots {
		files = append(files, slot.File.UUID)
	}
	return files
}

func (b *testBundle) setMaxParallel(t *testing.T, n int) {
	t.Helper()
	b.exec(t, "UPDATE sftp_servers SET max_parallel = $2 WHERE server_uuid = $1", b.server.UUID, n)
}

func TestSlotsAreReservedForTheOldestFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 7)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	d := b.dispatcher(t)

	first := d.reserve(t, 3)
	require.Equal(t, all[:3], slotFiles(first.Slots))
	assert.Equal(t, 3, first.InUse)
	assert.True(t, first.Waiting)
	assert.Equal(t, "acme", first.Server.Name)
	assert.Equal(t, ingest.StatusReady, first.Slots[0].File.Status)
	second := d.reserve(t, 10)
	require.Equal(t, all[3:4], slotFiles(second.Slots), "max_parallel is 4")
	assert.Equal(t, 4, second.InUse)
	full := d.reserve(t, 10)
	require.Empty(t, full.Slots)
	assert.True(t, full.Waiting)

	slots, err := b.Slots(t.Context(), b.server.UUID)
	require.NoError(t, err)
	require.Equal(t, all[:4], slotFiles(slots))
	assert.Less(t, slots[0].Number, slots[1].Number)
	assert.Less(t, slots[0].Age, time.Hour)

	require.NoError(t, b.ReleaseSlot(t.Context(), all[0], slots[1].Number), "not the file's slot")
	require.Empty(t, d.reserve(t, 10).Slots)
	require.NoError(t, b.ReleaseSlot(t.Context(), all[0], slots[0].Number))
	require.NoError(t, b.ReleaseSlot(t.Context(), all[0], slots[0].Number), "again")
	again := d.reserve(t, 10)
	require.Equal(t, all[:1], slotFiles(again.Slots), "the released file is the oldest ready one")
	require.Greater(t, again.Slots[0].Number, slots[3].Number, "numbers are never reused")
}

// For an unusable server, a dispatcher gets only its state.
func TestSlotsAreReservedForUsableServersOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 8)...)
	b.promote(t, 0)
	d := b.dispatcher(t)
	require.Empty(t, d.reserve(t, 0).Slots)
	require.Empty(t, d.reserve(t, -1).Slots)

	require.NoError(t, b.PauseServer(t.Context(), b.server.UUID))
	paused := d.reserve(t, 1)
	require.Empty(t, paused.Slots)
	assert.False(t, paused.Server.Active)
	assert.True(t, paused.Waiting)
	require.NoError(t, b.ResumeServer(t.Context(), b.server.UUID))
	require.Len(t, d.reserve(t, 3).Slots, 3)
	require.NoError(t, b.SuspendServer(t.Context(), b.server.UUID, "refused"))
	suspended := d.reserve(t, 1)
	require.Empty(t, suspended.Slots)
	assert.Equal(t, ingest.ServerSuspended, suspended.Server.State)
	require.NoError(t, b.ResumeServer(t.Context(), b.server.UUID))

	b.setMaxParallel(t, 2)
	lowered := d.reserve(t, 1)
	require.Empty(t, lowered.Slots, "no slot while 2 are in use")
	assert.Equal(t, 3, lowered.InUse)

	_, err := b.ReserveSlots(t.Context(), uuid.NewString(), 1, 1)
	requireKind(t, ingest.KindMissing, err, "no server")
	_, err = b.RegisterDispatcher(t.Context(), uuid.NewString())
	requireKind(t, ingest.KindMissing, err, "no server")
}

func TestDeferredFilesGetNoSlot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	d := b.dispatcher(t)
	require.Zero(t, d.reserve(t, 0).DeferredFor)
	b.deferFile(t, f.UUID, 1)
	r := d.reserve(t, 5)
	require.Empty(t, r.Slots)
	assert.False(t, r.Waiting)
	assert.InDelta(t, 10*time.Second, r.DeferredFor, float64(9*time.Second))
	b.exec(t, "UPDATE files SET not_before = now()")
	r = d.reserve(t, 5)
	require.Len(t, r.Slots, 1)
	assert.Zero(t, r.DeferredFor)
}

func TestAFrozenDispatcherIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 2)...)
	b.promote(t, 0)
	frozen := b.dispatcher(t)
	current := b.dispatcher(t)
	require.Equal(t, frozen.fence+1, current.fence)
	_, err := b.ReserveSlots(t.Context(), b.server.UUID, frozen.fence, 1)
	requireKind(t, ingest.KindFenced, err, "dispatcher 1 must stop")
	require.Len(t, current.reserve(t, 1).Slots, 1)
	_, err = b.ReserveSlots(t.Context(), b.server.UUID, frozen.fence, 0)
	requireKind(t, ingest.KindFenced, err, "dispatcher 1 must stop")

	// A dispatcher that froze between reading and reserving.
	holding, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = holding.Rollback(context.Background()) }()
	_, err = holding.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended('dispatch ' || $1, 0))", b.server.UUID)
	require.NoError(t, err)
	_, err = holding.Exec(t.Context(), "UPDATE dispatchers SET fence = fence + 1")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := b.ReserveSlots(t.Context(), b.server.UUID, current.fence, 1)
		done <- err
	}()
	b.waitForLock(t)
	require.NoError(t, holding.Commit(t.Context()))
	requireKind(t, ingest.KindFenced, <-done, "dispatcher 2 must stop")
	slots, err := b.Slots(t.Context(), b.server.UUID)
	require.NoError(t, err)
	require.Len(t, slots, 1)
}

// waitForLock returns once a statement on the database waits for a lock.
func (b *testBundle) waitForLock(t *testing.T) {
	t.Helper()
	b.waitForLocks(t, 1)
}

// waitForLocks returns once the given number of statements wait for locks.
func (b *testBundle) waitForLocks(t *testing.T, waiting int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := b.db.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n >= waiting
	}, time.Minute, 5*time.Millisecond)
}

// A listing locks the server's row while it writes; dispatch does not wait for it.
func TestReservationsDoNotWaitForListings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ready(t, "/a")
	d := b.dispatcher(t)
	listing, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = listing.Rollback(context.Background()) }()
	_, err = listing.Exec(t.Context(), "SELECT FROM sftp_servers FOR NO KEY UPDATE")
	require.NoError(t, err)
	require.Len(t, d.reserve(t, 1).Slots, 1)
}

// A file being changed is not reserved: its status may change.
func TestFilesThatChangeAreNotReserved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 2)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	d := b.dispatcher(t)
	skipping, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = skipping.Rollback(context.Background()) }()
	_, err = skipping.Exec(t.Context(), "UPDATE files SET status = 'skipped' WHERE file_uuid = $1", all[0])
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := b.ReserveSlots(ctx, b.server.UUID, d.fence, 2)
	require.NoError(t, err, "a reservation does not wait either")
	require.Equal(t, all[1:], slotFiles(r.Slots))
}

// Concurrent reservations and releases never exceed the server's limit.
func TestReservationsNeverExceedTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const limit, callers, files = 3, 16, 120
	b.observe(t, paths("/in", files)...)
	b.promote(t, 0)
	b.setMaxParallel(t, limit)
	d := b.dispatcher(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var done sync.Map
	var group errgroup.Group
	for range callers {
		group.Go(func() error {
			for ctx.Err() == nil {
				r, err := b.ReserveSlots(ctx, b.server.UUID, d.fence, 1+rand.IntN(limit+2))
				if err != nil {
					return err
				}
				if err := errors.Join(b.requireSlotsWithin(ctx, limit), finish(ctx, b, r.Slots, &done)); err != nil {
					return err
				}
				if !r.Waiting && r.InUse == 0 && len(r.Slots) == 0 {
					return nil
				}
			}
			return ctx.Err()
		})
	}
	require.NoError(t, group.Wait())
	n := 0
	done.Range(func(any, any) bool { n++; return true })
	require.Equal(t, files, n)
}

// requireSlotsWithin checks the number of slots in one snapshot.
func (b *testBundle) requireSlotsWithin(ctx context.Context, limit int) error {
	var n int
	err := b.db.QueryRow(ctx, "SELECT count(*) FROM slots WHERE server_uuid = $1", b.server.UUID).Scan(&n)
	if err == nil && n > limit {
		return fmt.Errorf("%d slots", n)
	}
	return err
}

// finish claims and skips the files, which releases their slots.
func finish(ctx context.Context, b *testBundle, slots []ingest.Slot, done *sync.Map) error {
	for _, slot := range slots {
		if _, twice := done.LoadOrStore(slot.File.UUID, true); twice {
			return fmt.Errorf("file %s was dispatched twice", slot.File.UUID)
		}
		file, err := b.ClaimAndApply(ctx, ingest.Started(slot.File, ingest.ModeMemory, slot.Number, ""))
		if err != nil {
			return err
		}
		if err := b.Apply(ctx, ingest.Change{FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusSkipped, FreeSlot: true}); err != nil {
			return err
		}
	}
	return nil
}
