package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestIgnoredEntriesAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	note := func(key string, seen ...ingest.Observation) {
		require.NoError(t, b.RecordIgnored(t.Context(), b.server.UUID, key, seen))
	}
	due := func(key string, again time.Duration) []ingest.OrphanCompanion {
		due, err := b.CompanionsDue(t.Context(), b.server.UUID, key, again)
		require.NoError(t, err)
		return due
	}
	finish := func(key string, entire bool) {
		require.NoError(t, b.FinishScan(t.Context(), ingest.ScanResult{Key: key, ServerUUID: b.server.UUID, Entire: entire}))
	}
	ignored := func() (names []string) {
		rows, err := b.db.Query(t.Context(), "SELECT reason || ' ' || path FROM ignored_entries WHERE server_uuid = $1", b.server.UUID)
		require.NoError(t, err)
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return names
	}
	busy, alone := seen("/in/a.csv.part", 1), seen("/in/b.csv.sha256", 2)
	busy.Ignored, alone.Ignored, alone.Of = ingest.IgnoredInProgress, ingest.IgnoredCompanion, "/in/b.csv"
	note("one", busy)
	note("one", alone) // in batches
	assert.Empty(t, due("other", 0), "the names are of another listing")
	first := due("one", time.Hour)
	require.Len(t, first, 1)
	assert.Equal(t, "/in/b.csv", first[0].Of)
	assert.Equal(t, alone.Size, first[0].Size)
	assert.Less(t, first[0].For, time.Minute)
	assert.ElementsMatch(t, []string{"in_progress /in/a.csv.part", "companion /in/b.csv.sha256"}, ignored())
	assert.Empty(t, due("one", time.Hour), "the source was tried")
	again := due("one", 0)
	require.Len(t, again, 1)
	assert.Greater(t, again[0].For, first[0].For)
	alone.Size++
	note("two", alone)
	changed := due("two", time.Hour)
	require.Len(t, changed, 1, "a changed companion")
	assert.Less(t, changed[0].For, again[0].For)

	finish("two", false)
	assert.Len(t, ignored(), 2, "an incomplete listing deletes nothing")
	id, err := b.StartScan(t.Context(), b.server.UUID, "three")
	require.NoError(t, err)
	note("three", alone)
	require.NoError(t, b.FinishScan(t.Context(), ingest.ScanResult{ScanID: id, ServerUUID: b.server.UUID}))
	assert.Len(t, ignored(), 2)
	require.NoError(t, b.FinishScan(t.Context(), ingest.ScanResult{ScanID: id, ServerUUID: b.server.UUID, Entire: true}))
	assert.Equal(t, []string{"companion /in/b.csv.sha256"}, ignored(), "entries that no attempt showed are deleted")
	finish("none", true)
	assert.Empty(t, ignored())
}

// The rows recorded by all attempts of a scan are counted.
func TestRecordedOfAScan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link := seen("/in/link", 0)
	link.Rejected = "is a symbolic link"
	b.observe(t, seen("/in/before.csv", 1))
	id, err := b.StartScan(t.Context(), b.server.UUID, "one")
	require.NoError(t, err)
	recorded := func() [2]int64 {
		created, rejected, err := b.Recorded(t.Context(), id)
		require.NoError(t, err)
		return [2]int64{created, rejected}
	}
	assert.Equal(t, [2]int64{0, 0}, recorded())
	b.observe(t, seen("/in/before.csv", 1), seen("/in/a.csv", 1), seen("/in/b.csv", 1), link)
	_, err = b.StartScan(t.Context(), b.server.UUID, "one")
	require.NoError(t, err)
	assert.Equal(t, [2]int64{2, 1}, recorded())
}

// The files of a companion that has no file beside it.
func TestTakenWith(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := ingest.Companion{Path: "/in/a.csv.sha256", Size: 3, ModTime: epoch}
	shared := ingest.Companion{Path: "/in/_SUCCESS", ModTime: epoch}
	first, second := seen("/in/a.csv", 1), seen("/in/b.csv", 1)
	first.Sidecar, first.Marker, second.Marker = own, shared, shared
	b.observe(t, first, second)
	b.promote(t, 0)
	of := func(c ingest.Companion, of string) ingest.CompanionUse {
		o := ingest.Observation{Path: c.Path, Size: c.Size, ModTime: c.ModTime, Of: of}
		unknown := seen("/in/unknown.md5", 1)
		unknown.Of = "/in/unknown"
		spoken, err := b.FilesOfCompanions(t.Context(), b.server.UUID, []ingest.OrphanCompanion{{Observation: unknown}, {Observation: o}})
		require.NoError(t, err)
		require.Len(t, spoken, 2)
		assert.Zero(t, spoken[0])
		return spoken[1]
	}
	assert.Equal(t, ingest.CompanionUse{Known: true, Open: 1}, of(own, "/in/a.csv"))
	assert.Equal(t, ingest.CompanionUse{Known: true, Open: 2}, of(shared, ""))
	files := b.files(t)
	for i, f := range files {
		b.walk(t, f.UUID, ingest.StatusDownloading, ingest.StatusUploaded, ingest.StatusCompleted)
		assert.Equal(t, i == 0, of(own, "/in/a.csv").Taken == "", "the source of the marker's file is not deleted yet")
		require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: f.UUID, Events: ingest.SourceDone(f, "", nil).Events}))
	}
	assert.Equal(t, ingest.CompanionUse{Known: true, Recorded: true, Taken: files[0].UUID}, of(own, "/in/a.csv"))
	assert.Equal(t, ingest.CompanionUse{Known: true, Recorded: true, Taken: files[1].UUID}, of(shared, ""))
	own.Size++
	assert.Equal(t, ingest.CompanionUse{Known: true, Taken: files[0].UUID}, of(own, "/in/a.csv"), "the marker covers another version")
	list := ingest.Companion{Path: "/in/SHA256SUMS"}
	assert.Equal(t, ingest.CompanionUse{Known: true, Taken: files[1].UUID}, of(list, ""), "a companion that no file has used")
	list.Path = "/in/deeper/SHA256SUMS"
	assert.Zero(t, of(list, ""))
	list.Path = "/SHA256SUMS"
	assert.Zero(t, of(list, ""), "files in subfolders are not covered")
	own.Path = "/in/a.csv.md5"
	assert.Equal(t, ingest.CompanionUse{Known: true, Taken: files[0].UUID}, of(own, "/in/a.csv"))
}

func TestSourcesLeft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 3)...)
	b.promote(t, 0)
	files := b.files(t)
	for _, f := range files[:2] {
		b.walk(t, f.UUID, ingest.StatusDownloading, ingest.StatusUploaded, ingest.StatusCompleted)
		require.NoError(t, b.Apply(t.Context(), ingest.SourceLeft(f, "not allowed")))
	}
	left := func(filter ingest.FileFilter) int {
		filter.Left = true
		page, err := b.FilesPage(t.Context(), filter)
		require.NoError(t, err)
		all, err := b.Files(t.Context(), filter)
		require.NoError(t, err)
		assert.Equal(t, uuids(all), uuids(page.Items))
		return len(all)
	}
	assert.Zero(t, left(ingest.FileFilter{}), "the server keeps sources")
	b.exec(t, "UPDATE sftp_servers SET after_ingest = 'delete'")
	assert.Equal(t, 2, left(ingest.FileFilter{}))
	assert.Equal(t, 2, left(ingest.FileFilter{Server: "acme", Statuses: []ingest.Status{ingest.StatusCompleted}, Order: ingest.OrderNewest}))
	assert.Zero(t, left(ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusReady}}))
	counts, err := b.RemainingByServer(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[string]ingest.ServerLeft{b.server.UUID: {Sources: 2}}, counts)
	old, err := b.SourcesLeft(t.Context(), b.server.UUID, time.Hour, 10)
	require.NoError(t, err)
	assert.Empty(t, old)
	old, err = b.SourcesLeft(t.Context(), b.server.UUID, 0, 10)
	require.NoError(t, err)
	require.Len(t, old, 2)
	assert.Equal(t, "not allowed", old[0].SourceLeft)
	require.NoError(t, b.Apply(t.Context(), ingest.SourceDone(old[0], "", nil)))
	assert.Equal(t, 1, left(ingest.FileFilter{}))
}
