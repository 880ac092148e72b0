package activities_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestInMemoryNamesTheServerOfTheLedger: a manually started workflow may lack the search
// attribute with the name.
func TestInMemoryNamesTheServerOfTheLedger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(100))
	require.Empty(t, b.run(t, activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size}))
	assert.Equal(t, ingest.StatusCompleted, b.status(t, f))
	assert.Equal(t, "acme", sandbox.Detail(b.Events(t, f.UUID), ingest.EventDownloadStarted, "server"))
}

// TestAFileThatEndsInAnotherModeLeavesNothingStaged: a worker may have stopped after it had
// reserved room for the file.
func TestAFileThatEndsInAnotherModeLeavesNothingStaged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(100))
	require.NoError(t, b.acts.Staging.Reserve(b.Context(t), f.UUID, f.Size))
	require.DirExists(t, filepath.Dir(b.staged(f)))
	require.Empty(t, b.run(t, activities.NameIngestInMemory, activities.IngestInMemoryInput{FileUUID: f.UUID, ServerUUID: f.ServerUUID, Size: f.Size}))
	assert.NoDirExists(t, filepath.Dir(b.staged(f)))
}
