package store_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func uuids(files []ingest.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.UUID)
	}
	return all
}

func TestFilesArePagedWhileTheyChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 25)...)
	want := uuids(b.files(t))
	var got []string
	filter := ingest.FileFilter{Server: "acme", Limit: 10}
	for {
		page, err := b.Files(t.Context(), filter)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, uuids(page)...)
		filter.AfterID = page[len(page)-1].ID
		// Rows move in the table and change status between the pages.
		b.promote(t, 0)
		b.walk(t, got[0], ingest.StatusDownloading)
	}
	require.Equal(t, want, got)
}

// Pages in both orders contain each file that existed at the first page exactly once, while
// others arrive.
func TestPagesOfBothOrdersWhileFilesArrive(t *testing.T) {
	t.Parallel()
	for _, order := range []ingest.FileOrder{"", ingest.OrderOldest, ingest.OrderNewest} {
		b := setup(t)
		b.observe(t, paths("/in", 25)...)
		want := uuids(b.files(t))
		arriving := paths("/late", 3)
		var got []string
		filter := ingest.FileFilter{Server: "acme", Limit: 10, Order: order}
		for more := true; more; {
			page, err := b.FilesPage(t.Context(), filter)
			require.NoError(t, err)
			got = append(got, uuids(page.Items)...)
			filter.AfterID, more = page.Next, page.Next != 0
			if len(arriving) > 0 {
				b.observe(t, arriving[0])
				arriving = arriving[1:]
			}
		}
		if order == ingest.OrderNewest {
			slices.Reverse(want)
			require.Equal(t, want, got, "new files precede the first page")
			continue
		}
		require.Equal(t, want, got[:25])
		require.Len(t, got, 27, "new files are last")
	}
}

func TestCountUpTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 5)...)
	for limit, want := range map[int64]ingest.Count{
		4: {N: 4, More: true}, 5: {N: 5}, 6: {N: 5}, 0: {More: true},
	} {
		got, err := b.CountUpTo(t.Context(), ingest.FileFilter{Server: "acme"}, limit)
		require.NoError(t, err)
		require.Equal(t, want, got, limit)
	}
	none, err := b.CountUpTo(t.Context(), ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusError}}, 5)
	require.NoError(t, err)
	require.Zero(t, none)
}

func TestFilesAreFiltered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.observe(t, paths("/in", 3)...)
	b.promote(t, 0)
	mine := uuids(b.files(t))
	b.walk(t, mine[0], ingest.StatusError)
	b.walk(t, mine[1], ingest.StatusSkipped)
	acme := b.server
	b.server = b.addServer(t, "other")
	b.observe(t, seen("/x", 1))
	theirs := uuids(b.files(t))

	for name, try := range map[string]struct {
		filter ingest.FileFilter
		want   []string
	}{
		"all":           {ingest.FileFilter{}, append(slices.Clone(mine), theirs...)},
		"server":        {ingest.FileFilter{Server: "acme"}, mine},
		"server's uuid": {ingest.FileFilter{Server: b.server.UUID}, theirs},
		"status":        {ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusError, ingest.StatusSkipped}}, mine[:2]},
		"both":          {ingest.FileFilter{Server: "other", Statuses: []ingest.Status{ingest.StatusError}}, nil},
		"limit":         {ingest.FileFilter{Limit: 1}, mine[:1]},
	} {
		files, err := b.Files(ctx, try.filter)
		require.NoError(t, err, name)
		assert.Equal(t, try.want, uuids(files), name)
	}
	_, err := b.Files(ctx, ingest.FileFilter{Server: "nope"})
	requireKind(t, ingest.KindMissing, err, `no server named "nope"`)

	counts, err := b.CountFiles(ctx, []string{acme.UUID})
	require.NoError(t, err)
	assert.Equal(t, map[ingest.Status]int64{ingest.StatusError: 1, ingest.StatusSkipped: 1, ingest.StatusReady: 1}, counts)
	byServer, err := b.CountFilesByServer(ctx, nil)
	require.NoError(t, err)
	assert.Equal(t, map[ingest.Status]int64{ingest.StatusDiscovered: 1}, byServer[b.server.UUID])
	assert.Equal(t, counts, byServer[acme.UUID])
}

func TestFindFileByPrefix(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.observe(t, paths("/in", 2)...)
	b.exec(t, "UPDATE files SET file_uuid = '0192aa00-0000-7000-8000-00000000000a' WHERE id = 1")
	b.exec(t, "UPDATE files SET file_uuid = '0192aabb-0000-7000-8000-00000000000b' WHERE id = 2")
	for prefix, want := range map[string]int64{
		"0192aa00": 1, "0192AABB": 2, "0192aa00-0000-7": 1, "0192aabb-0000-7000-8000-00000000000b": 2, "0192a": 0, "ffff": 0, "abc": 0, "zzzz": 0,
	} {
		f, err := b.FindFile(ctx, prefix)
		assert.Equal(t, want, f.ID, prefix)
		assert.Equal(t, want == 0, err != nil, prefix)
	}
	_, err := b.FindFile(ctx, "0192a")
	requireKind(t, ingest.KindConflict, err, "enter more digits")
	_, err = b.FindFile(ctx, "ffff")
	requireKind(t, ingest.KindMissing, err, `no file with uuid "ffff"`)
	_, err = b.FindFile(ctx, "abc")
	requireKind(t, ingest.KindInvalid, err, "at least its first 4")
	_, err = b.FindFile(ctx, "wxyz")
	requireKind(t, ingest.KindInvalid, err, "only the digits")
}

func TestReadyAndSettlingFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.observe(t, paths("/in", 4)...)
	all := uuids(b.files(t))
	none, err := b.ReadyFiles(ctx, b.server.UUID, nil, 10)
	require.NoError(t, err)
	require.Empty(t, none)
	settling, err := b.Settling(ctx, b.server.UUID, 0, 3)
	require.NoError(t, err)
	require.Equal(t, all[:3], uuids(settling))
	settling, err = b.Settling(ctx, b.server.UUID, settling[2].ID, 3)
	require.NoError(t, err)
	require.Equal(t, all[3:], uuids(settling))

	b.promote(t, 0)
	b.walk(t, all[1], ingest.StatusDownloading)
	b.walk(t, all[0], ingest.StatusError, ingest.StatusReady) // its row moves to the end of the table
	ready, err := b.ReadyFiles(ctx, b.server.UUID, nil, 10)
	require.NoError(t, err)
	require.Equal(t, []string{all[0], all[2], all[3]}, uuids(ready))
	ready, err = b.ReadyFiles(ctx, b.server.UUID, []string{all[0]}, 1)
	require.NoError(t, err)
	require.Equal(t, []string{all[2]}, uuids(ready))
	ready, err = b.ReadyFiles(ctx, b.server.UUID, nil, 0)
	require.NoError(t, err)
	require.Empty(t, ready, "no free slot")
}
