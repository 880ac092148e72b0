package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestASweepKeepsYoungData: its owner may not be recorded yet.
func TestASweepKeepsYoungData(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.Empty(t, b.download(t, f))
	require.NoError(t, b.Store.Apply(b.Context(t), ingest.Change{FileUUID: f.UUID, To: ingest.StatusError}))
	require.NoError(t, b.Store.Apply(b.Context(t), ingest.OperatorActed(f.UUID, ingest.OperatorAction{Action: ingest.ActionSkip, Key: "k"})))
	sweep := func(age time.Duration) int64 {
		return value[activities.SweepResult](t, b, activities.NameSweepStaging, activities.SweepInput{Age: age}).Removed
	}
	assert.Zero(t, sweep(time.Hour))
	assert.FileExists(t, b.staged(f))
	assert.EqualValues(t, 1, sweep(0))
	assert.NoFileExists(t, b.staged(f))
}
