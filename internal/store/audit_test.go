package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

var _ audit.Ledger = (*store.Store)(nil)

// setKey sets the file's object key, as an upload does.
func (b *testBundle) setKey(t *testing.T, fileUUID, key string) {
	t.Helper()
	require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: fileUUID, Set: ingest.Columns{ObjectKey: &key}}))
}

// The byte order of these keys differs from a locale's order: case, punctuation and non-ASCII
// letters.
var keysInByteOrder = []string{
	"files/2026/01/a/Z.csv", "files/2026/01/a/_.csv", "files/2026/01/a/a b", "files/2026/01/a/a-b", "files/2026/01/a/a.b",
	"files/2026/01/a/ab", "files/2026/01/a/b", "files/2026/01/a/É", "files/2026/01/a/я",
}

func TestHistoriesByKeyComeInByteOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", len(keysInByteOrder)+2)...)
	files := b.files(t)
	for i, key := range keysInByteOrder {
		b.setKey(t, files[(i*4)%9].UUID, key) // 4 and 9 have no common divisor
	}
	for _, limit := range []int{1, 2, 100} {
		var got []string
		for q := (ingest.HistoryQuery{Limit: limit}); ; {
			page, err := b.HistoriesByKey(t.Context(), q)
			require.NoError(t, err)
			for _, h := range page {
				got = append(got, h.File.ObjectKey)
				require.Equal(t, "acme", h.File.ServerName)
			}
			if len(page) == 0 {
				break
			}
			q.AfterKey = got[len(got)-1]
		}
		require.Equal(t, keysInByteOrder, got)
	}
	for _, key := range keysInByteOrder {
		has, err := b.HasObjectKey(t.Context(), key)
		require.NoError(t, err)
		require.True(t, has, key)
	}
	for _, key := range []string{"", "files/2026/01/a/A", "x\x00y", "\xff"} {
		has, err := b.HasObjectKey(t.Context(), key)
		require.NoError(t, err)
		require.False(t, has, "%q", key)
	}
}

func TestHistoriesWithoutKeyExcludeEndedFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 6)...)
	b.promote(t, 0)
	files := uuids(b.files(t))
	b.walk(t, files[1], ingest.StatusSkipped)
	b.walk(t, files[2], ingest.StatusVanished)
	b.walk(t, files[3], ingest.StatusError)
	b.setKey(t, files[4], "files/k")
	b.observe(t, ingest.Observation{Path: "/in/fifo", ModTime: epoch, Rejected: "is a FIFO"})
	var got []string
	for q := (ingest.HistoryQuery{Limit: 2}); ; {
		page, err := b.HistoriesWithoutKey(t.Context(), q)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, h := range page {
			got, q.AfterID = append(got, h.File.UUID), h.File.ID
		}
	}
	require.Equal(t, []string{files[0], files[3], files[5]}, got)

	other := b.addServer(t, "other")
	for _, read := range []func(ingest.HistoryQuery) ([]ingest.History, error){
		func(q ingest.HistoryQuery) ([]ingest.History, error) { return b.HistoriesWithoutKey(t.Context(), q) },
		func(q ingest.HistoryQuery) ([]ingest.History, error) { return b.HistoriesByKey(t.Context(), q) },
	} {
		page, err := read(ingest.HistoryQuery{Servers: []string{other.UUID}})
		require.NoError(t, err)
		require.Empty(t, page)
		page, err = read(ingest.HistoryQuery{Servers: []string{other.UUID, b.server.UUID}})
		require.NoError(t, err)
		require.NotEmpty(t, page)
	}
}

func TestHistoriesHaveTheEventsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	way := []ingest.Status{
		ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusVerified, ingest.StatusUploading, ingest.StatusUploaded, ingest.StatusCompleted,
	}
	for i := range 3 {
		f := b.ready(t, fmt.Sprintf("/in/%d", i))
		b.setKey(t, f.UUID, fmt.Sprintf("files/%d", i))
		if i == 1 {
			continue
		}
		b.walk(t, f.UUID, way...)
		for _, e := range []ingest.EventType{ingest.EventNotified, ingest.EventSourceDone} {
			require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Events: []ingest.Event{{Type: e}}}))
		}
	}
	page, err := b.HistoriesByKey(t.Context(), ingest.HistoryQuery{
		Events: []ingest.EventType{ingest.EventNotified, ingest.EventDiscovered, ingest.EventSettled},
	})
	require.NoError(t, err)
	require.Len(t, page, 3)
	for i, h := range page {
		var types []ingest.EventType
		for _, e := range h.Events {
			types = append(types, e.Type)
		}
		want := []ingest.EventType{ingest.EventDiscovered, ingest.EventSettled, ingest.EventNotified}
		if i == 1 {
			want = nil // it is not completed
		}
		require.Equal(t, want, types)
	}
}

func TestFilesSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, seen("/same", 1), seen("/grows", 1), seen("/other", 1), ingest.Observation{Path: "/bad\xff", ModTime: epoch, Rejected: "is a FIFO"})
	growing := b.files(t)[1].UUID
	b.promote(t, 0)
	b.walk(t, growing, ingest.StatusSuperseded)
	b.observe(t, seen("/grows", 2))
	bad := seen("/bad\xff", 7)
	files, err := b.FilesSeen(t.Context(), b.server.UUID, []ingest.Observation{
		seen("/same", 1), seen("/grows", 3), seen("/other", 2), bad, bad, seen("/none", 1),
	})
	require.NoError(t, err)
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%q %d %s", f.RemotePath, f.Size, f.Status))
	}
	require.ElementsMatch(t, []string{`"/same" 1 ready`, `"/grows" 2 discovered`, `"/bad\xff" 0 rejected`}, got)

	files, err = b.FilesSeen(t.Context(), b.addServer(t, "other").UUID, []ingest.Observation{seen("/same", 1)})
	require.NoError(t, err)
	require.Empty(t, files)
}

// An audit of a million rows must not sort or scan them for each page.
func TestAuditsReadByIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `
		INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, minio_object_key)
		SELECT $1, n::text, n::text::bytea, 'x', n, now(), 'files/' || n FROM generate_series(1, 20000) AS n`, b.server.UUID)
	b.exec(t, "ANALYZE files")
	for name, tc := range map[string]struct{ query, index string }{
		"page": {`SELECT f.id FROM files f JOIN sftp_servers s ON s.server_uuid = f.server_uuid WHERE f.minio_object_key COLLATE "C" > 'files/5'
			AND (cardinality('{}'::text[]) = 0 OR f.server_uuid = ANY ('{}'::text[]::uuid[]))
			ORDER BY f.minio_object_key COLLATE "C" LIMIT 500`, "files_object_key"},
		"key": {`SELECT EXISTS (SELECT FROM files WHERE minio_object_key COLLATE "C" = 'files/7')`, "files_object_key"},
	} {
		rows, err := b.db.Query(t.Context(), "EXPLAIN "+tc.query)
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var line string
			require.NoError(t, rows.Scan(&line))
			plan = append(plan, line)
		}
		text := strings.Join(plan, "\n")
		assert.Contains(t, text, tc.index, name)
		assert.NotContains(t, text, "Sort", name)
		assert.NotContains(t, text, "Seq Scan on files", name)
	}
}
