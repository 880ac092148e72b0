package activities_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
)

// TestAnUnsettledFileThatIsGoneVanishes: the next listing records it. A file that is only
// excluded still needs attention.
func TestAnUnsettledFileThatIsGoneVanishes(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	for i := range 3 {
		b.tree.File(fmt.Sprintf("%d.csv", i), "1")
	}
	require.Empty(t, b.attempt(t))
	db, err := pgx.Connect(b.Context(t), b.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	defer func() { _ = db.Close(context.Background()) }()
	_, err = db.Exec(b.Context(t), `UPDATE files SET status = 'error', error_step = 'discover', error_kind = 'unsettled', error_message = 'never',
		last_seen_at = now() - interval '1 minute', stable_since = now() - interval '1 minute' WHERE server_uuid = $1`, b.server.UUID)
	require.NoError(t, err)
	statuses := func() (all []ingest.Status) {
		page, err := b.Store.FilesPage(b.Context(t), ingest.FileFilter{Server: "odd"})
		require.NoError(t, err)
		for _, f := range page.Items {
			all = append(all, f.Status)
		}
		return all
	}
	require.True(t, b.tree.Drop("0.csv"))
	b.tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.Op == "READDIR" {
			return services.StatusPermission
		}
		return 0
	}})
	b.last = activities.Progress{}
	require.NotEmpty(t, b.attempt(t))
	assert.Equal(t, ingest.StatusError, statuses()[0], "a failed listing changes nothing")

	b.tree.SetFaults(services.TreeFaults{})
	b.Edit(t, b.server.UUID, func(s *ingest.Server) { s.Exclude = []string{"1.csv"} })
	b.last = activities.Progress{}
	require.Empty(t, b.attempt(t))
	assert.Equal(t, []ingest.Status{ingest.StatusVanished, ingest.StatusError, ingest.StatusReady}, statuses())
	page, err := b.Store.FilesPage(b.Context(t), ingest.FileFilter{Server: "odd"})
	require.NoError(t, err)
	assert.Equal(t, "gone before it was settled", page.Items[0].ErrorMessage)
}
