package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestFault82_TheClockGoesBack: after the clock is set back by an hour, all recorded times are
// in the future. Nothing waits until the clock reaches them, and the next listing has a note.
func TestFault82_TheClockGoesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	d := b.dispatcher(t)
	b.ready(t, "/ready")
	b.observe(t, seen("/settling", 1), seen("/deferred", 1), seen("/abandoned", 1))
	for _, f := range b.files(t) {
		switch f.RemotePath {
		case "/deferred":
			b.walk(t, f.UUID, ingest.StatusReady)
		case "/abandoned":
			b.walk(t, f.UUID, ingest.StatusReady, ingest.StatusDownloading)
		}
	}
	b.exec(t, "UPDATE sftp_servers SET last_scan_at = now() + interval '1 hour'")
	b.exec(t, "ALTER TABLE files DISABLE TRIGGER files_times") // the trigger would overwrite updated_at
	b.exec(t, `UPDATE files SET created_at = created_at + interval '1 hour', updated_at = updated_at + interval '1 hour',
		stable_since = stable_since + interval '1 hour', last_seen_at = last_seen_at + interval '1 hour'`)
	b.exec(t, "UPDATE files SET not_before = now() + interval '75 minutes' WHERE remote_path = '/deferred'")
	var err error
	b.server, err = b.Server(ctx, b.server.UUID)
	require.NoError(t, err)

	due, err := b.DueServers(ctx, ingest.DueQuery{})
	require.NoError(t, err)
	require.Len(t, due, 1, "the server is due")
	_, err = b.StartScan(ctx, b.server.UUID, "k")
	require.NoError(t, err)
	now, err := b.Server(ctx, b.server.UUID)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), now.LastScanAt, time.Minute, "the next interval begins now")

	b.observe(t, seen("/settling", 1))
	note, err := b.HoldChanges(ctx, b.server, ingest.Listed{Seen: 1})
	require.NoError(t, err)
	assert.Contains(t, note, "the database's clock was set back: the previous scan began ")
	b.pass(t, time.Minute)
	b.observe(t, seen("/settling", 1))
	promoted, _ := b.promote(t, 10*time.Second)
	assert.EqualValues(t, 1, promoted, "the file settles within the settle time")

	r, err := b.ReserveSlots(ctx, b.server.UUID, d.fence, 10)
	require.NoError(t, err)
	assert.Len(t, r.Slots, 3, "ready files, and files deferred beyond any deferral, are started")
	in, err := b.NextDeferred(ctx, b.server.UUID)
	require.NoError(t, err)
	assert.Zero(t, in)
	abandoned, err := b.UnchangedFiles(ctx, 10*time.Minute, 0, 10)
	require.NoError(t, err)
	require.Len(t, abandoned, 1)
	assert.Equal(t, "/abandoned", abandoned[0].RemotePath)
}

// TestListingsAreSerialized: a listing waits for another one to commit, and is then compared
// with its results.
func TestListingsAreSerialized(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	other, err := b.db.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = other.Rollback(ctx) }()
	_, err = other.Exec(ctx, "SELECT FROM sftp_servers FOR NO KEY UPDATE")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := b.Observe(ctx, b.server.UUID, "schedule", []ingest.Observation{seen("/a", 1)})
		done <- err
	}()
	const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, b.db.QueryRow(ctx, waiting).Scan(&n))
		return n == 1 || len(done) > 0
	}, time.Minute, 5*time.Millisecond)
	require.Empty(t, done, "the change must wait for the lock")
	require.Empty(t, b.files(t))
	// The other listing's results make its own comparison obsolete.
	_, err = other.Exec(ctx, `INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime)
		SELECT server_uuid, '/a', '/a', 'a', 2, now() FROM sftp_servers`)
	require.NoError(t, err)
	require.NoError(t, other.Commit(ctx))
	require.NoError(t, <-done)
	require.EqualValues(t, 1, b.only(t).Size, "the file of the other listing still grows")
}
