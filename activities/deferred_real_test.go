package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// slowStaging is a staging folder in which every transfer is below the minimum rate.
type slowStaging struct{ activities.Staging }

func (slowStaging) Fetch(_ context.Context, req ingest.Fetch) (ingest.Staged, error) {
	return ingest.Staged{}, ingest.Errorf(ingest.KindSlow, "below its minimum rate of %d", req.MinRate)
}

// TestASlowFileIsDeferred: the file releases its slot and waits, and the ledger has the
// reason.
func TestASlowFileIsDeferred(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Edit(t, b.server.UUID, func(s *ingest.Server) { s.MinRate = 4711 })
	f := b.ready(t, "a.csv", sandbox.Random(10))
	fence, err := b.Store.RegisterDispatcher(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	got, err := b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 1)
	require.NoError(t, err)
	require.Len(t, got.Slots, 1)
	b.acts.Staging = slowStaging{b.acts.Staging}
	require.Equal(t, string(ingest.KindNoSlot), b.run(t, activities.NameDownload, activities.DownloadInput{FileUUID: f.UUID, Slot: got.Slots[0].Number}))

	require.Equal(t, ingest.StatusReady, b.status(t, f))
	assert.Equal(t, string(ingest.KindSlow), sandbox.Detail(b.Events(t, f.UUID), ingest.EventDeferred, "kind"))
	assert.Contains(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventDeferred, "message"), "minimum rate of 4711")
	got, err = b.Store.ReserveSlots(b.Context(t), b.server.UUID, fence, 1)
	require.NoError(t, err)
	assert.Empty(t, got.Slots, "other files precede the deferred file")
	assert.Zero(t, got.InUse, "the deferred file has no slot")
	assert.Positive(t, got.DeferredFor)
}
