package activities_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/rig"
)

// TestInMemoryNamesTheServerOfTheLedger: the workflow may have been started by a
// person, without the search attribute that has the name.
func TestInMemoryNamesTheServerOfTheLedger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready("a.csv", rig.Random(100))
	require.Empty(t, b.run(activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size}))
	assert.Equal(t, ingest.StatusCompleted, b.status(f))
	assert.Equal(t, "acme", rig.Detail(b.Events(f.UUID), ingest.EventDownloadStarted, "server"))
}
