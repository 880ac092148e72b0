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

// fakeStarts is Temporal for a dispatcher. Started files are open until the test ends them, or
// done when onStart returns. TestWorkflowsConform compares it with Temporal.
type fakeStarts struct {
	activities.Workflows
	mu      sync.Mutex
	started []ingest.Slot
	open    map[string]bool
	onStart func(ingest.Slot) error
}

func (s *fakeStarts) StartIngest(_ context.Context, _ ingest.Server, slot ingest.Slot) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[slot.File.UUID] {
		return false, nil
	}
	s.started = append(s.started, slot)
	if s.onStart != nil {
		return true, s.onStart(slot)
	}
	if s.open == nil {
		s.open = map[string]bool{}
	}
	s.open[slot.File.UUID] = true
	return true, nil
}

func (s *fakeStarts) OpenIngests(_ context.Context, uuids []string) (open []string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uuid := range uuids {
		if s.open[uuid] {
			open = append(open, uuid)
		}
	}
	return open, nil
}

func (b *bench) dispatch(t *testing.T) (result activities.DispatchFilesResult) {
	t.Helper()
	b.get(t, activities.NameDispatchFiles, activities.DispatchFilesInput{ServerUUID: b.server.UUID}, &result)
	return result
}

// complete completes a started file, as its workflow would.
func (b *bench) complete(t *testing.T, slot ingest.Slot) error {
	step := func(change ingest.Change) error {
		file, err := b.Store.Claim(b.Context(t), slot.File.UUID)
		if err != nil {
			return err
		}
		change.Fence = file.Fence
		return b.Store.Apply(b.Context(t), change)
	}
	f := slot.File
	object := ingest.Object{Bucket: "b", Key: ingest.ObjectKey(f), ETag: "e"}
	return errors.Join(step(ingest.Started(f, ingest.ModeMemory, slot.Number, "")),
		step(ingest.Transferred(f, ingest.Fetched{Mode: ingest.ModeMemory, SHA256: "aa"}, "transfer", object)),
		step(ingest.Completed(f, ingest.Receipt{MessageID: "m"}, false)))
}

// TestADispatcherKeepsTheLimit: all files are started, within the server's concurrency limit.
func TestADispatcherKeepsTheLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 12 {
		b.sshd.Write(t, string(rune('a'+i))+".csv", sandbox.Random(10+i))
	}
	b.ready(t, "z.csv", sandbox.Random(5))
	most := 0
	temporal := &fakeStarts{Workflows: b.acts.Workflows}
	temporal.onStart = func(slot ingest.Slot) error {
		slots, err := b.Store.Slots(b.Context(t), b.server.UUID)
		most = max(most, len(slots))
		return errors.Join(err, b.complete(t, slot))
	}
	b.acts.Workflows = temporal
	assert.EqualValues(t, 13, b.dispatch(t).Started)
	assert.Equal(t, b.server.MaxParallel, most)
	slots, err := b.Store.Slots(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	assert.Empty(t, slots)
}

// TestADispatcherStartsReservedSlots: an earlier dispatcher crashed after it had reserved
// them.
func TestADispatcherStartsReservedSlots(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(10))
	fence, err := b.Store.RegisterDispatcher(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	got, err := b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 10)
	require.NoError(t, err)
	require.Len(t, got.Slots, 1)
	temporal := &fakeStarts{Workflows: b.acts.Workflows, onStart: func(slot ingest.Slot) error { return b.complete(t, slot) }}
	b.acts.Workflows = temporal
	b.dispatch(t)
	require.Len(t, temporal.started, 1)
	assert.Equal(t, got.Slots[0].Number, temporal.started[0].Number)
	assert.Equal(t, ingest.StatusCompleted, b.status(t, f))
	_, err = b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 10)
	assert.True(t, ingest.IsKind(err, ingest.KindFenced), "the earlier dispatcher is fenced: %v", err)
}

// TestADispatcherReleasesOrphanedSlots: the workflow ended without releasing its slot, and
// its file is done or failed.
func TestADispatcherReleasesOrphanedSlots(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(10))
	fence, err := b.Store.RegisterDispatcher(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	_, err = b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 10)
	require.NoError(t, err)
	require.NoError(t, b.Store.Apply(b.Context(t), ingest.Change{FileUUID: f.UUID, To: ingest.StatusError}))
	temporal := &fakeStarts{Workflows: b.acts.Workflows}
	b.acts.Workflows = temporal
	assert.Zero(t, b.dispatch(t).Started)
	assert.Empty(t, temporal.started)
}

// TestAFileIsStartedAfterItsPreviousWorkflow: an operator retried it, and it has a slot before
// the previous workflow has ended.
func TestAFileIsStartedAfterItsPreviousWorkflow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(10))
	temporal := &fakeStarts{Workflows: b.acts.Workflows, open: map[string]bool{f.UUID: true}, onStart: func(slot ingest.Slot) error { return b.complete(t, slot) }}
	rejected := make(chan struct{})
	b.acts.Workflows = &rejectedStarts{fakeStarts: temporal, rejected: rejected}
	go func() {
		<-rejected
		temporal.mu.Lock()
		defer temporal.mu.Unlock()
		delete(temporal.open, f.UUID)
	}()
	assert.EqualValues(t, 1, b.dispatch(t).Started)
	assert.True(t, slices.ContainsFunc(temporal.started, func(s ingest.Slot) bool { return s.File.UUID == f.UUID }))
}

// rejectedStarts closes rejected at the first rejected start.
type rejectedStarts struct {
	*fakeStarts
	once     sync.Once
	rejected chan struct{}
}

func (e *rejectedStarts) StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (bool, error) {
	started, err := e.fakeStarts.StartIngest(ctx, server, slot)
	if !started {
		e.once.Do(func() { close(e.rejected) })
	}
	return started, err
}

// TestADispatcherPacesATroubledServer: all files that fail immediately are started once before
// any is started again, the later ones with a pause in between.
func TestADispatcherPacesATroubledServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const files = 15
	for i := range files {
		b.sshd.Write(t, fmt.Sprintf("%02d.csv", i), sandbox.Random(10+i))
	}
	require.Empty(t, b.list(t, false))
	var begun []time.Time
	temporal := &fakeStarts{Workflows: b.acts.Workflows, onStart: func(slot ingest.Slot) error {
		begun = append(begun, time.Now())
		file, err := b.Store.Claim(b.Context(t), slot.File.UUID)
		if err != nil {
			return err
		}
		why := ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: "the connection broke"}
		return b.Store.Apply(b.Context(t), ingest.Deferred(file, why, 2, slot.Number, fmt.Sprint(len(begun))))
	}}
	b.acts.Workflows = temporal
	result := b.dispatch(t)
	assert.Positive(t, result.DeferredFor)
	require.GreaterOrEqual(t, len(begun), files)
	turns := map[string]bool{}
	for _, slot := range temporal.started[:files] {
		turns[slot.File.UUID] = true
	}
	assert.Len(t, turns, files, "each file is started before any is started twice")
	assert.Greater(t, begun[files-1].Sub(begun[files-2]), 2*time.Second)
}
