package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// due makes the files deferred and due.
func (b *testBundle) due(t *testing.T, files ...string) {
	t.Helper()
	b.exec(t, `UPDATE files SET not_before = created_at - interval '2 minutes', deferrals = 3, error_kind = 'transient'
		WHERE file_uuid = ANY ($1::text[]::uuid[])`, files)
}

// Fresh files get half of the slots, however many deferred files are due and for however long.
// Without fresh files, deferred ones get all.
func TestDeferredFilesLeaveSlotsToOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/bad", 20)...)
	b.promote(t, 0)
	bad := uuids(b.files(t))
	b.due(t, bad...)
	b.observe(t, paths("/good", 6)...)
	b.promote(t, 0)
	good := uuids(b.files(t))[20:]
	d := b.dispatcher(t)

	first := d.reserve(t, 64)
	require.ElementsMatch(t, append(bad[:2:2], good[:2]...), slotFiles(first.Slots))
	byFile := map[string]int64{}
	for _, slot := range first.Slots {
		byFile[slot.File.UUID] = slot.Number
	}
	for _, done := range good[:2] {
		require.NoError(t, b.ReleaseSlot(t.Context(), done, byFile[done]))
		b.walk(t, done, ingest.StatusSkipped)
	}
	require.Equal(t, good[2:4], slotFiles(d.reserve(t, 64).Slots), "deferred files hold half of the slots")
	for _, done := range good[2:] {
		b.walk(t, done, ingest.StatusSkipped)
	}
	b.exec(t, "DELETE FROM slots")
	require.Equal(t, bad[:4], slotFiles(d.reserve(t, 64).Slots), "no fresh file waits")
}

// If many files of a server were deferred within a minute, files start one at a time, in turn
// with fresh ones.
func TestFilesOfAServerInTroubleStartOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 15)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	d := b.dispatcher(t)
	for i, f := range all[:10] {
		assert.False(t, d.reserve(t, 0).Troubled, i)
		b.walk(t, f, ingest.StatusDownloading)
		b.deferWith(t, f, ingest.KindTransient)
	}
	for _, want := range all[10:14] {
		got := d.reserve(t, 64)
		require.Equal(t, []string{want}, slotFiles(got.Slots))
		assert.True(t, got.Troubled)
		assert.True(t, got.Waiting)
	}
	b.exec(t, "DELETE FROM slots")
	b.exec(t, "UPDATE files SET error_kind = 'staging_full' WHERE file_uuid = $1", all[0])
	assert.False(t, d.reserve(t, 0).Troubled, "these deferrals did not use the server")
	require.Len(t, d.reserve(t, 64).Slots, 4)
}

// The text on deferred files for the server's page.
func TestAttentionDescribesDeferredFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 3)...)
	b.promote(t, 0)
	all := b.files(t)
	assert.Empty(t, b.attention(t).Deferred)
	for _, f := range all[:2] {
		b.deferWith(t, f.UUID, ingest.KindTransient)
	}
	assert.Regexp(t, `^2 could not be fetched and are retried, the next after \S+Z: `+all[0].RemotePath+`: it stutters$`, b.attention(t).Deferred)
}

// deferWith defers the file with the kind of failure.
func (b *testBundle) deferWith(t *testing.T, file string, kind ingest.Kind) {
	t.Helper()
	require.NoError(t, b.Apply(t.Context(), ingest.Deferred(
		ingest.File{UUID: file}, ingest.Failure{Step: ingest.StepDownload, Kind: kind, Message: "it stutters"}, 2, 0, fmt.Sprint(time.Now().UnixNano()))))
}
