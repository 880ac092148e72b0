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

// version is a row of the model.
type version struct {
	path   string
	size   int64
	status ingest.Status
	round  int
	fence  int64
	slot   bool
}

// model is a reference implementation of the ledger for one server: the same rules in memory,
// one observation at a time.
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
			m.rows = append(m.rows, version{path: o.Path, size: o.Size, status: ingest.StatusRejected})
		}
		return
	}
	switch {
	case same != nil:
		if settling != nil && settling != same {
			settling.status = ingest.StatusSuperseded
		}
		if same.status == ingest.StatusVanished || same.status == ingest.StatusSuperseded {
			same.status, same.round, same.fence = ingest.StatusDiscovered, same.round+1, same.fence+1
		}
	case settling != nil:
		settling.size = o.Size
	default:
		m.rows = append(m.rows, version{path: o.Path, size: o.Size, status: ingest.StatusDiscovered})
	}
}

func (m *model) promote() {
	for i := range m.rows {
		if m.rows[i].status == ingest.StatusDiscovered {
			m.rows[i].status = ingest.StatusReady
		}
	}
}

// of returns the model's row of the file.
func (m *model) of(f ingest.File) *version {
	return m.find(f.RemotePath, func(v version) bool { return v.size == f.Size })
}

// reserve expects slots for the oldest files.
func (m *model) reserve(t require.TestingT, got ingest.Reservation, limit, maxParallel int) {
	inUse := 0
	for _, v := range m.rows {
		if v.slot {
			inUse++
		}
	}
	var want, reserved []version
	waiting := false
	for i := range m.rows {
		v := &m.rows[i]
		switch {
		case v.status != ingest.StatusReady || v.slot:
		case inUse >= maxParallel || len(want) >= limit:
			waiting = true
		default:
			v.slot = true
			inUse++
			want = append(want, version{path: v.path, size: v.size})
		}
	}
	for _, slot := range got.Slots {
		reserved = append(reserved, version{path: slot.File.RemotePath, size: slot.File.Size})
	}
	require.Equal(t, want, reserved)
	require.Equal(t, inUse, got.InUse)
	require.Equal(t, waiting, got.Waiting)
}

func (b *testBundle) slots(ctx context.Context, t require.TestingT, server string) []ingest.Slot {
	slots, err := b.Slots(ctx, server)
	require.NoError(t, err)
	return slots
}

// take claims the file with a change that may be rejected.
func (m *model) take(ctx context.Context, t *rapid.T, b *testBundle, f ingest.File) {
	change := ingest.Change{
		FileUUID: f.UUID,
		To:       rapid.SampledFrom([]ingest.Status{"", ingest.StatusReady, ingest.StatusDownloading, ingest.StatusUploaded, ingest.StatusError}).Draw(t, "to"),
		From:     rapid.SampledFrom([][]ingest.Status{nil, {ingest.StatusReady}, {ingest.StatusDownloading, ingest.StatusError}}).Draw(t, "from"),
		FreeSlot: rapid.Bool().Draw(t, "free"),
	}
	held := int64(0)
	for _, slot := range b.slots(ctx, t, f.ServerUUID) {
		if slot.File.UUID == f.UUID {
			held = slot.Number
		}
	}
	change.Slot = rapid.SampledFrom([]int64{0, held, held + 1}).Draw(t, "slot")
	v := m.of(f)
	applies := len(change.From) == 0 || slices.Contains(change.From, v.status)
	taken, err := b.ClaimAndApply(ctx, change)
	switch {
	case change.Slot != 0 && !change.FreeSlot && change.Slot != held:
		require.Equal(t, ingest.KindNoSlot, ingest.KindOf(err))
		return
	case applies && change.To != "" && !v.status.CanBecome(change.To):
		require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
		return
	}
	require.NoError(t, err)
	v.fence++
	if applies && change.To != "" {
		v.status = change.To
	}
	if applies && change.FreeSlot && (change.Slot == 0 || change.Slot == held) {
		v.slot = false
	}
	require.Equal(t, []any{v.status, v.fence}, []any{taken.Status, taken.Fence})
}

func TestLedgerFollowsTheModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		server := b.addServer(rt, "m-"+uuid.NewString())
		var m model
		fence, err := b.RegisterDispatcher(ctx, server.UUID)
		require.NoError(rt, err)
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
					m.of(f).status = to
				}
			},
			"reserve": func(rt *rapid.T) {
				limit := rapid.IntRange(0, 3).Draw(rt, "limit")
				r, err := b.ReserveSlots(ctx, server.UUID, fence, limit)
				require.NoError(rt, err)
				m.reserve(rt, r, limit, server.MaxParallel)
			},
			"take": func(rt *rapid.T) {
				if files := list(); len(files) > 0 {
					m.take(ctx, rt, b, rapid.SampledFrom(files).Draw(rt, "file"))
				}
			},
			"release": func(rt *rapid.T) {
				if files := list(); len(files) > 0 {
					f := rapid.SampledFrom(files).Draw(rt, "file")
					require.NoError(rt, b.Apply(ctx, slotReleased(f)))
					m.of(f).slot = false
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

// requireSame compares rows, and checks that every round of a file that was not rejected has
// exactly one discovered event.
func requireSame(ctx context.Context, t *rapid.T, b *testBundle, m model, files []ingest.File) {
	slots := map[string]bool{}
	var got []version
	for i, f := range files {
		if i == 0 {
			for _, slot := range b.slots(ctx, t, f.ServerUUID) {
				slots[slot.File.UUID] = true
			}
		}
		got = append(got, version{f.RemotePath, f.Size, f.Status, f.Round, f.Fence, slots[f.UUID]})
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
