package activities

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// suspects is a Catalog with suspected moves.
type suspects struct {
	Catalog // panics at what is not faked
	found   []ingest.SuspectedMove
	gone    []ingest.SuspectedMove
	copies  []int64
}

func (c *suspects) SuspectedMoves(context.Context, string, int) ([]ingest.SuspectedMove, error) {
	return c.found, nil
}

func (c *suspects) DecideMoves(_ context.Context, _ ingest.Server, gone []ingest.SuspectedMove, copies []int64) error {
	c.gone, c.copies = gone, copies
	return nil
}

// statSource is a Source that counts the STATs of each path; all but /kept are gone.
type statSource struct {
	Source
	stats map[string]int
}

func (s statSource) Stat(_ context.Context, path string) (ingest.Observation, error) {
	s.stats[path]++
	if path != "/kept" {
		return ingest.Observation{}, ingest.Errorf(ingest.KindNotFound, "no such file")
	}
	return ingest.Observation{Path: path}, nil
}

func (s statSource) Real(_ context.Context, path string) (string, error) { return path, nil }

// TestOldPathsAreAskedForOnce: copies of one file share its path.
func TestOldPathsAreAskedForOnce(t *testing.T) {
	t.Parallel()
	catalog := &suspects{found: []ingest.SuspectedMove{
		{FileID: 1, Path: "/a", OldID: 9, OldPath: "/gone"}, {FileID: 2, Path: "/b", OldID: 9, OldPath: "/gone"},
		{FileID: 3, Path: "/c", OldID: 8, OldPath: "/kept"}, {FileID: 4, Path: "/d", OldID: 8, OldPath: "/kept"}, {FileID: 5, Path: "/e"},
	}}
	source := statSource{stats: map[string]int{}}
	require.NoError(t, (&Activities{Deps: Deps{Catalog: catalog}}).checkMoves(t.Context(), source, ingest.Server{}))
	require.Equal(t, map[string]int{"/gone": 1, "/kept": 1}, source.stats)
	require.Equal(t, catalog.found[:2], catalog.gone)
	require.Equal(t, []int64{3, 4, 5}, catalog.copies)
}
