package activities_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
)

// forest returns a server with folders that each have a file, a file in progress, and a
// checksum file without a file.
func forest(t *testing.T, folders int) *treeBench {
	t.Helper()
	b := newTreeBench(t)
	for i := range folders {
		for _, name := range []string{"f.csv", "g.csv.part", "h.csv.sha256"} {
			b.tree.File(fmt.Sprintf("%02d/%s", i, name), "1")
		}
		b.tree.Link(fmt.Sprintf("%02d/link", i), "/etc/passwd")
	}
	return b
}

// cutAfter closes each connection after n requests.
func cutAfter(n int) services.TreeFaults {
	return services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.N > n {
			return services.CutConnection
		}
		return 0
	}}
}

// TestAResumedListingCountsLikeOne: the counts equal those of an uninterrupted listing,
// even if workers are killed or the server cannot be reached in between, the ledger is unavailable, or
// heartbeats are lost.
func TestAResumedListingCountsLikeOne(t *testing.T) {
	t.Parallel()
	const folders = 15
	for name, between := range map[string]func(t *testing.T, b *treeBench, attempt int){
		"one attempt":           func(*testing.T, *treeBench, int) {},
		"cut":                   func(*testing.T, *treeBench, int) {},
		"unreachable":           func(t *testing.T, b *treeBench, _ int) { t.Helper(); b.attemptUnreached(t) },
		"ledger is unavailable": func(t *testing.T, b *treeBench, n int) { t.Helper(); b.attemptUnrecorded(t, n) },
		"heartbeats are lost": func(_ *testing.T, b *treeBench, n int) {
			if n == 3 {
				b.last = activities.Progress{}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := forest(t, folders)
			b.tree.SetFaults(cutAfter(20))
			catalog := &oneListing{Catalog: b.acts.Catalog, key: "one", oneConnection: name != "one attempt"}
			b.acts.Catalog = catalog
			attempts := 1
			for ; b.attempt(t) != ""; attempts++ {
				require.Less(t, attempts, 40)
				between(t, b, attempts)
			}
			require.Equal(t, catalog.oneConnection, attempts > 2)
			scan := b.scan(t)
			assert.Equal(t, ingest.Scan{
				ID: scan.ID, ServerUUID: scan.ServerUUID, ServerName: "odd", StartedAt: scan.StartedAt, FinishedAt: scan.FinishedAt, Note: scan.Note,
				ScanOrigin: ingest.ScanOrigin{Source: "manual"},
				ScanCounts: ingest.ScanCounts{Seen: 2 * folders, New: folders, Rejected: folders, InProgress: folders, Alone: folders},
			}, scan)
			assert.Len(t, b.Ignored(t, b.server.UUID), 2*folders)

			catalog.key = "two"
			require.True(t, b.tree.Drop("00/g.csv.part"))
			require.True(t, b.tree.Drop("12/h.csv.sha256"))
			b.last = activities.Progress{}
			for attempts = 1; b.attempt(t) != ""; attempts++ {
				require.Less(t, attempts, 40)
			}
			assert.Equal(t, catalog.oneConnection, attempts > 1)
			assert.Len(t, b.Ignored(t, b.server.UUID), 2*folders-2, "names that no attempt listed are removed")
			assert.NotContains(t, b.Ignored(t, b.server.UUID), "/in/00/g.csv.part")
			assert.NotContains(t, b.Ignored(t, b.server.UUID), "/in/12/h.csv.sha256")
		})
	}
}

// attemptUnreached is an attempt that cannot reach the server.
func (b *treeBench) attemptUnreached(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	before := b.scan(t)
	b.Edit(t, b.server.UUID, func(s *ingest.Server) { s.Port = port })
	require.NotEmpty(t, b.attempt(t))
	b.Edit(t, b.server.UUID, func(s *ingest.Server) { s.Port = b.tree.Port })
	assert.Equal(t, before.Seen, b.scan(t).Seen, "the counts are kept")
	assert.NotNil(t, b.last.Position, "the position is kept for the next attempt")
}

// attemptUnrecorded is an attempt with an unavailable ledger.
func (b *treeBench) attemptUnrecorded(t *testing.T, n int) {
	t.Helper()
	healthy := b.acts.Catalog
	b.acts.Catalog = unwritableCatalog{healthy}
	defer func() { b.acts.Catalog = healthy }()
	if n <= 2 {
		require.NotEmpty(t, b.attempt(t))
	}
}

// unwritableCatalog is a catalog that cannot record observations.
type unwritableCatalog struct{ activities.Catalog }

func (unwritableCatalog) Observe(context.Context, string, string, []ingest.Observation) (ingest.ScanCounts, error) {
	return ingest.ScanCounts{}, ingest.Errorf(ingest.KindTransient, "the ledger is unavailable")
}

func (unwritableCatalog) RecordIgnored(context.Context, string, string, []ingest.Observation) error {
	return ingest.Errorf(ingest.KindTransient, "the ledger is unavailable")
}

// TestDoubtfulFoldersAreCarriedOver: a later attempt detects that folders of an earlier one
// were incomplete.
func TestDoubtfulFoldersAreCarriedOver(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	for _, name := range []string{"a/f.csv", "b/f.csv", "c/f.csv"} {
		b.tree.File(name, "1")
	}
	cut := true
	b.tree.SetFaults(services.TreeFaults{PerAnswer: 5, Request: func(r services.TreeRequest) uint32 {
		switch {
		case r.Op == "OPENDIR" && r.Path == "/in/c" && cut:
			return services.CutConnection
		case r.Op == "READDIR" && r.Conn == 1 && len(b.tree.Requests("READDIR"))%2 == 0:
			return services.StatusFailure // after one response for each folder
		}
		return 0
	}})
	b.acts.Catalog = &oneListing{Catalog: b.acts.Catalog, key: "one", oneConnection: true}
	require.NotEmpty(t, b.attempt(t))
	cut = false
	require.Empty(t, b.attempt(t))
	scan := b.scan(t)
	assert.EqualValues(t, 3, scan.New)
	require.EqualValues(t, 3, scan.Unread.Count, "%v", scan.Unread)
	assert.Equal(t, "/in", scan.Unread.Folders[0].Path)
	assert.Contains(t, scan.Unread.Folders[0].Reason, "its listing failed after")
}
