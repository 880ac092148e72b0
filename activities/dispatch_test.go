package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// starts is Temporal as a dispatcher sees it. A started file runs until the test
// ends it, or as onStart says.
type starts struct {
	activities.Workflows
	mu      sync.Mutex
	started []ingest.Slot
	open    map[string]bool
	onStart func(ingest.Slot) error
}

func (s *starts) StartIngest(_ context.Context, _ ingest.Server, slot ingest.Slot) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[slot.File.UUID] {
		return false, nil
	}
	s.started = append(s.started, slot)
	if s.onStart != nil {
		return true, s.onStart(slot)
	}
	return true, nil
}

func (s *starts) OpenIngests(_ context.Context, uuids []string) (open []string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uuid := range uuids {
		if s.open[uuid] {
			open = append(open, uuid)
		}
	}
	return open, nil
}

func (b *bench) dispatch() (result activities.DispatchFilesResult) {
	b.T.Helper()
	b.get(activities.NameDispatchFiles, activities.DispatchFilesInput{ServerUUID: b.server.UUID}, &result)
	return result
}

// complete brings a started file to its end, as its workflow does.
func (b *bench) complete(slot ingest.Slot) error {
	step := func(change ingest.Change) error {
		file, err := b.Store.Claim(b.Ctx, slot.File.UUID)
		if err != nil {
			return err
		}
		change.Fence = file.Fence
		return b.Store.Apply(b.Ctx, change)
	}
	f := slot.File
	object := ingest.Object{Bucket: "b", Key: ingest.ObjectKey(f), ETag: "e"}
	return errors.Join(step(ingest.Started(f, ingest.ModeMemory, slot.Number, "")),
		step(ingest.Transferred(f, ingest.Fetched{Mode: ingest.ModeMemory, SHA256: "aa"}, "transfer", object)),
		step(ingest.Completed(f, ingest.Receipt{MessageID: "m"}, false)))
}

// TestADispatcherKeepsTheLimit: all files are started, never more at a time than
// the server may have.
func TestADispatcherKeepsTheLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 12 {
		b.sshd.Write(string(rune('a'+i))+".csv", sandbox.Random(10+i))
	}
	b.ready("z.csv", sandbox.Random(5))
	most := 0
	temporal := &starts{Workflows: b.acts.Workflows}
	temporal.onStart = func(slot ingest.Slot) error {
		slots, err := b.Store.Slots(b.Ctx, b.server.UUID)
		most = max(most, len(slots))
		return errors.Join(err, b.complete(slot))
	}
	b.acts.Workflows = temporal
	assert.EqualValues(t, 13, b.dispatch().Started)
	assert.Equal(t, b.server.MaxParallel, most)
	slots, err := b.Store.Slots(b.Ctx, b.server.UUID)
	require.NoError(t, err)
	assert.Empty(t, slots)
}

// TestADispatcherStartsWhatAnotherReserved: it died between the two.
func TestADispatcherStartsWhatAnotherReserved(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready("a.csv", sandbox.Random(10))
	fence, err := b.Store.TakeDispatch(b.Ctx, b.server.UUID)
	require.NoError(t, err)
	got, err := b.Store.ReserveSlots(b.Ctx, b.server.UUID, fence, 10)
	require.NoError(t, err)
	require.Len(t, got.Slots, 1)
	temporal := &starts{Workflows: b.acts.Workflows, onStart: b.complete}
	b.acts.Workflows = temporal
	b.dispatch()
	require.Len(t, temporal.started, 1)
	assert.Equal(t, got.Slots[0].Number, temporal.started[0].Number)
	assert.Equal(t, ingest.StatusCompleted, b.status(f))
	_, err = b.Store.ReserveSlots(b.Ctx, b.server.UUID, fence, 10)
	assert.True(t, ingest.IsKind(err, ingest.KindFenced), "the first one wakes up: %v", err)
}

// TestADispatcherReleasesSlotsNobodyUses: the workflow ended without releasing
// its slot; its file is done or failed.
func TestADispatcherReleasesSlotsNobodyUses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready("a.csv", sandbox.Random(10))
	fence, err := b.Store.TakeDispatch(b.Ctx, b.server.UUID)
	require.NoError(t, err)
	_, err = b.Store.ReserveSlots(b.Ctx, b.server.UUID, fence, 10)
	require.NoError(t, err)
	require.NoError(t, b.Store.Apply(b.Ctx, ingest.Change{FileUUID: f.UUID, To: ingest.StatusError}))
	temporal := &starts{Workflows: b.acts.Workflows}
	b.acts.Workflows = temporal
	assert.Zero(t, b.dispatch().Started)
	assert.Empty(t, temporal.started)
}

// TestAFileWhoseWorkflowJustEndsIsStartedThen: it was retried by an operator and
// has its slot before the workflow of before has ended.
func TestAFileWhoseWorkflowJustEndsIsStartedThen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready("a.csv", sandbox.Random(10))
	temporal := &starts{Workflows: b.acts.Workflows, open: map[string]bool{f.UUID: true}, onStart: b.complete}
	asked := make(chan struct{})
	b.acts.Workflows = &ending{starts: temporal, asked: asked}
	go func() {
		<-asked
		temporal.mu.Lock()
		defer temporal.mu.Unlock()
		delete(temporal.open, f.UUID)
	}()
	assert.EqualValues(t, 1, b.dispatch().Started)
	assert.True(t, slices.ContainsFunc(temporal.started, func(s ingest.Slot) bool { return s.File.UUID == f.UUID }))
}

// ending tells when a start was refused.
type ending struct {
	*starts
	once  sync.Once
	asked chan struct{}
}

func (e *ending) StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (bool, error) {
	started, err := e.starts.StartIngest(ctx, server, slot)
	if !started {
		e.once.Do(func() { close(e.asked) })
	}
	return started, err
}

// TestADispatcherAsksAServerInTroubleSlowly: of many files that fail at once each has
// its turn, the later ones with a pause in between.
func TestADispatcherAsksAServerInTroubleSlowly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const files = 15
	for i := range files {
		b.sshd.Write(fmt.Sprintf("%02d.csv", i), sandbox.Random(10+i))
	}
	require.Empty(t, b.list(false))
	var begun []time.Time
	temporal := &starts{Workflows: b.acts.Workflows, onStart: func(slot ingest.Slot) error {
		begun = append(begun, time.Now())
		file, err := b.Store.Claim(b.Ctx, slot.File.UUID)
		if err != nil {
			return err
		}
		why := ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: "it stutters"}
		return b.Store.Apply(b.Ctx, ingest.Deferred(file, why, 2, slot.Number, fmt.Sprint(len(begun))))
	}}
	b.acts.Workflows = temporal
	result := b.dispatch()
	assert.Positive(t, result.DeferredFor)
	require.GreaterOrEqual(t, len(begun), files)
	turns := map[string]bool{}
	for _, slot := range temporal.started[:files] {
		turns[slot.File.UUID] = true
	}
	assert.Len(t, turns, files, "all have their turn before one has its second")
	assert.Greater(t, begun[files-1].Sub(begun[files-2]), 2*time.Second)
}
