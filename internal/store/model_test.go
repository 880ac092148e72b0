package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"stevedore/internal/ingest"
)

// version is a row as the model sees it.
type version struct {
	path   string
	size   int64
	status ingest.Status
	round  int
}

// model is what the ledger should hold of one server: the rules again, one
// observation after the other, in memory.
type model struct{ rows []version }

func (m *model) find(path string, match func(version) bool) *version {
	for i := range m.rows {
		if m.rows[i].path == path && match(m.rows[i]) {
			return &m.rows[i]
		}
	}
	return nil
}

func (m *model) observe(o ingest.Observation) {
	same := m.find(o.Path, func(v version) bool { return v.size == o.Size })
	settling := m.find(o.Path, func(v version) bool { return v.status == ingest.StatusDiscovered })
	if o.Rejected != "" {
		onRecord := m.find(o.Path, func(v version) bool { return v.status == ingest.StatusRejected })
		if settling != nil {
			settling.status = ingest.StatusSuperseded
		}
		if same == nil && onRecord == nil {
			m.rows = append(m.rows, version{o.Path, o.Size, ingest.StatusRejected, 0})
		}
		return
	}
	switch {
	case same != nil:
		if settling != nil && settling != same {
			settling.status = ingest.StatusSuperseded
		}
		if same.status == ingest.StatusVanished || same.status == ingest.StatusSuperseded {
			same.status, same.round = ingest.StatusDiscovered, same.round+1
		}
	case settling != nil:
		settling.size = o.Size
	default:
		m.rows = append(m.rows, version{o.Path, o.Size, ingest.StatusDiscovered, 0})
	}
}

func (m *model) promote() {
	for i := range m.rows {
		if m.rows[i].status == ingest.StatusDiscovered {
			m.rows[i].status = ingest.StatusReady
		}
	}
}

func TestLedgerFollowsTheModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		server := b.addServer(rt, "m-"+uuid.NewString())
		var m model
		list := func() []ingest.File {
			files, err := b.Files(ctx, ingest.FileFilter{Server: server.UUID, Limit: 1000})
			require.NoError(rt, err)
			return files
		}
		rt.Repeat(map[string]func(*rapid.T){
			"observe": func(rt *rapid.T) {
				batch := rapid.SliceOfNDistinct(observations(), 1, 3, func(o ingest.Observation) string { return o.Path }).Draw(rt, "batch")
				_, err := b.Observe(ctx, server.UUID, "schedule", batch)
				require.NoError(rt, err)
				for _, o := range batch {
					m.observe(o)
				}
			},
			"promote": func(rt *rapid.T) {
				_, settling, err := b.Promote(ctx, ingest.Server{UUID: server.UUID})
				require.NoError(rt, err)
				require.Zero(rt, settling)
				m.promote()
			},
			"change": func(rt *rapid.T) {
				files := list()
				if len(files) == 0 {
					rt.Skip("nothing there")
				}
				f := rapid.SampledFrom(files).Draw(rt, "file")
				to := rapid.SampledFrom(ingest.Statuses).Filter(func(s ingest.Status) bool { return s != ingest.StatusDiscovered }).Draw(rt, "to")
				err := b.Apply(ctx, ingest.Change{FileUUID: f.UUID, To: to})
				require.Equal(rt, f.Status.CanBecome(to), err == nil)
				if err == nil {
					m.find(f.RemotePath, func(v version) bool { return v.size == f.Size }).status = to
				}
			},
			"": func(rt *rapid.T) { requireSame(ctx, rt, b, m, list()) },
			"fold": func(rt *rapid.T) {
				b.requireExact(rt)
			},
		})
	})
}

func observations() *rapid.Generator[ingest.Observation] {
	return rapid.Custom(func(t *rapid.T) ingest.Observation {
		return ingest.Observation{
			Path:     rapid.SampledFrom([]string{"/a", "/b", "/c"}).Draw(t, "path"),
			Size:     rapid.Int64Range(1, 3).Draw(t, "size"),
			ModTime:  time.Unix(1_700_000_000, 0),
			Rejected: rapid.SampledFrom([]string{"", "", "", "symbolic link"}).Draw(t, "rejected"),
		}
	})
}

// requireSame compares rows, and checks that every round of a file that was
// not rejected tells of its discovery exactly once.
func requireSame(ctx context.Context, t *rapid.T, b *testBundle, m model, files []ingest.File) {
	var got []version
	for _, f := range files {
		got = append(got, version{f.RemotePath, f.Size, f.Status, f.Round})
	}
	order := func(x, y version) int {
		return slices.Compare([]string{x.path, fmt.Sprint(x.size)}, []string{y.path, fmt.Sprint(y.size)})
	}
	want := slices.Clone(m.rows)
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	require.Equal(t, want, got)

	const silent = `
		SELECT count(*) FROM files f WHERE f.status <> 'rejected' AND f.round + 1 <>
			(SELECT count(*) FROM file_events e WHERE e.file_id = f.id AND e.event_type = 'discovered')`
	var n int
	require.NoError(t, b.db.QueryRow(ctx, silent).Scan(&n))
	require.Zero(t, n)
}
