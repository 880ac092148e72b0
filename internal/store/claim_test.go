package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestTakeReturnsTheChangedFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	slot := b.dispatcher(t).reserve(t, 1).Slots[0]
	change := ingest.Started(f, ingest.ModeDirect, slot.Number, "host-1")
	change.Fence = 99 // ignored
	taken, err := b.ClaimAndApply(t.Context(), change)
	require.NoError(t, err)
	assert.Equal(t, ingest.StatusDownloading, taken.Status)
	assert.Equal(t, f.Fence+1, taken.Fence)
	assert.Equal(t, ingest.ModeDirect, taken.Mode)
	assert.Equal(t, "host-1", taken.StagedOn)
	assert.Equal(t, "acme", taken.ServerName)
	assert.Equal(t, b.only(t), taken)
	_, details := b.eventTypes(t, f.UUID)
	assert.Equal(t, map[string]any{"server": "acme"}, details)
}

func TestTakeClaimsFilesInOtherStatusesOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	change := ingest.Started(f, ingest.ModeStaged, 0, "")
	change.From = []ingest.Status{ingest.StatusDownloaded, ingest.StatusVerified}
	taken, err := b.ClaimAndApply(t.Context(), change)
	require.NoError(t, err)
	assert.Equal(t, ingest.StatusReady, taken.Status)
	assert.Equal(t, f.Fence+1, taken.Fence)
	types, _ := b.eventTypes(t, f.UUID)
	assert.NotContains(t, types, ingest.EventDownloadStarted)

	change.From = append(change.From, ingest.StatusReady)
	taken, err = b.ClaimAndApply(t.Context(), change)
	require.NoError(t, err)
	assert.Equal(t, ingest.StatusDownloading, taken.Status)

	change = ingest.Change{FileUUID: f.UUID, To: ingest.StatusCompleted}
	_, err = b.ClaimAndApply(t.Context(), change)
	requireKind(t, ingest.KindConflict, err, "is downloading and cannot become completed")
	assert.Equal(t, taken.Fence, b.only(t).Fence, "a refused change does not claim")
	_, err = b.ClaimAndApply(t.Context(), ingest.Change{FileUUID: uuid.NewString()})
	requireKind(t, ingest.KindMissing, err, "no file")
}

// A workflow started late or twice must not claim the file from the workflow that holds its
// slot.
func TestTakeWithAnotherSlotChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	d := b.dispatcher(t)
	late := d.reserve(t, 1).Slots[0]
	require.NoError(t, b.ReleaseSlot(t.Context(), f.UUID, late.Number))
	for name, change := range map[string]ingest.Change{
		"none":       ingest.Started(f, ingest.ModeMemory, late.Number, ""),
		"late":       ingest.Started(f, ingest.ModeMemory, late.Number, ""),
		"not begun":  {FileUUID: f.UUID, Slot: late.Number, From: []ingest.Status{ingest.StatusDownloaded}},
		"repetition": {FileUUID: f.UUID, Slot: late.Number, NewRound: true, Events: []ingest.Event{{Type: ingest.EventSettled, Key: "k"}}},
	} {
		if name != "none" && len(d.reserve(t, 1).Slots)+d.reserve(t, 0).InUse == 0 {
			t.Fatal("no slot is free")
		}
		before := b.only(t)
		_, err := b.ClaimAndApply(t.Context(), change)
		requireKind(t, ingest.KindNoSlot, err, "waits for another slot")
		assert.Equal(t, before, b.only(t), name)
		requireKind(t, ingest.KindNoSlot, b.Apply(t.Context(), change), "waits for another slot")
		assert.Equal(t, before, b.only(t), name)
	}
	current, err := b.Slots(t.Context(), b.server.UUID)
	require.NoError(t, err)
	_, err = b.ClaimAndApply(t.Context(), ingest.Started(f, ingest.ModeMemory, current[0].Number, ""))
	require.NoError(t, err)
}

func (b *testBundle) slotsInUse(t *testing.T) int {
	t.Helper()
	slots, err := b.Slots(t.Context(), b.server.UUID)
	require.NoError(t, err)
	return len(slots)
}

// A slot is released in the transaction of the change that ends its use.
func TestChangesReleaseSlots(t *testing.T) {
	t.Parallel()
	failure := ingest.Failure{Step: ingest.StepTransfer, Kind: ingest.KindTransient, Message: "it stutters"}
	receipt := ingest.Receipt{Queue: "q", MessageID: "m"}
	for name, c := range map[string]struct {
		change func(f ingest.File, slot int64) ingest.Change
		left   int
	}{
		"completed":      {func(f ingest.File, _ int64) ingest.Change { return ingest.Completed(f, receipt, false) }, 0},
		"source follows": {func(f ingest.File, _ int64) ingest.Change { return ingest.Completed(f, receipt, true) }, 1},
		"failed":         {func(f ingest.File, _ int64) ingest.Change { return ingest.Failed(f, failure) }, 0},
		"released":       {func(f ingest.File, _ int64) ingest.Change { return slotReleased(f) }, 0},
		"skipped": {func(f ingest.File, _ int64) ingest.Change {
			return ingest.OperatorActed(f.UUID, ingest.OperatorAction{Action: ingest.ActionSkip, Key: "k"})
		}, 0},
		"fenced": {func(f ingest.File, _ int64) ingest.Change { f.Fence++; return slotReleased(f) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := b.ready(t, "/a")
			slot := b.dispatcher(t).reserve(t, 1).Slots[0]
			f, err := b.ClaimAndApply(t.Context(), ingest.Started(f, ingest.ModeMemory, slot.Number, ""))
			require.NoError(t, err)
			b.walk(t, f.UUID, ingest.StatusUploaded)
			err = b.Apply(t.Context(), c.change(f, slot.Number))
			require.Equal(t, name == "fenced", ingest.IsKind(err, ingest.KindFenced), "%v", err)
			require.Equal(t, c.left, b.slotsInUse(t))
		})
	}
}

// slotReleased releases the slot of a file and changes nothing else.
func slotReleased(f ingest.File) ingest.Change {
	return ingest.Change{FileUUID: f.UUID, Fence: f.Fence, FreeSlot: true}
}

func TestReleasingASlotDoesNotChangeTheFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	b.dispatcher(t).reserve(t, 1)
	require.NoError(t, b.Apply(t.Context(), slotReleased(f)))
	require.Zero(t, b.slotsInUse(t))
	require.Equal(t, f, b.only(t), "including updated_at")
	require.NoError(t, b.Apply(t.Context(), slotReleased(f)), "again")
}

// A change applied again after a lost response does not release a newer slot of the file.
func TestRepeatedChangesReleaseNoLaterSlot(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f ingest.File, slot int64) ingest.Change{
		"requeued": func(f ingest.File, slot int64) ingest.Change { return ingest.Requeued(f, slot, "no room", "k") },
		"decided": func(f ingest.File, _ int64) ingest.Change {
			return ingest.OperatorActed(f.UUID, ingest.OperatorAction{Action: ingest.ActionRetry, Key: "k"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := b.ready(t, "/a")
			d := b.dispatcher(t)
			slot := d.reserve(t, 1).Slots[0]
			f, err := b.ClaimAndApply(t.Context(), ingest.Started(f, ingest.ModeMemory, slot.Number, ""))
			require.NoError(t, err)
			b.walk(t, f.UUID, ingest.StatusError)
			once := change(f, slot.Number)
			require.NoError(t, b.Apply(t.Context(), once))
			require.Zero(t, b.slotsInUse(t))
			next := d.reserve(t, 1).Slots[0]
			require.NoError(t, b.Apply(t.Context(), once))
			_, err = b.ClaimAndApply(t.Context(), once)
			require.NoError(t, err)
			require.Equal(t, 1, b.slotsInUse(t))

			other := once
			other.Slot, other.Events = slot.Number, []ingest.Event{{Type: ingest.EventRequeued, Key: "another"}}
			other.Fence = 0
			require.NoError(t, b.Apply(t.Context(), other))
			require.Equal(t, 1, b.slotsInUse(t), "slot %d is not slot %d", next.Number, slot.Number)
		})
	}
}

// Checksum and mode are kept until they are set again.
func TestModeAndChecksumAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f, err := b.ClaimAndApply(t.Context(), ingest.Started(b.ready(t, "/a"), ingest.ModeDirect, 0, ""))
	require.NoError(t, err)
	object := ingest.Object{Bucket: "files", Key: "k", ETag: "e", Checksum: "c-2"}
	require.NoError(t, b.Apply(t.Context(), ingest.Transferred(f, ingest.Fetched{Mode: ingest.ModeDirect, Size: 10, SHA256: "ab"}, "transfer", object)))
	require.NoError(t, b.Apply(t.Context(), ingest.Completed(f, ingest.Receipt{}, false)))
	done := b.only(t)
	assert.Equal(t, ingest.ModeDirect, done.Mode)
	assert.Equal(t, "c-2", done.Checksum)
	assert.Equal(t, "ab", done.Hash)
	types, _ := b.eventTypes(t, f.UUID)
	assert.Equal(t, []ingest.EventType{
		ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventDownloaded, ingest.EventVerified,
		ingest.EventUploadStart, ingest.EventUploaded, ingest.EventNotified,
	}, types)
}
