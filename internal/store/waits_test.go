package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestSettlesAt: a file settles when it is listed at the time that it shows, and not a second
// earlier, by each of the rules.
func TestSettlesAt(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct {
		server ingest.Server
		reads  int
		age    time.Duration
	}{
		"settle time":   {server: ingest.Server{Settle: time.Minute}},
		"minimum age":   {server: ingest.Server{MinAge: time.Hour}, age: 30 * time.Minute},
		"wrong clock":   {server: ingest.Server{MinAge: time.Hour}, age: -2 * time.Hour},
		"changed reads": {reads: ingest.MaxFailedReads + 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "UPDATE sftp_servers SET settle = $1, min_age = $2", rule.server.Settle, rule.server.MinAge)
			o := seen("/a", 1)
			o.ModTime = time.Now().Add(-rule.age).Truncate(time.Second)
			b.observe(t, o)
			b.exec(t, "UPDATE files SET failed_reads = $1", rule.reads)
			wait := time.Until(b.only(t).SettlesAt)
			require.Positive(t, wait)
			rule.server.UUID = b.server.UUID
			for _, passed := range []struct {
				d        time.Duration
				promoted int64
			}{{wait - 10*time.Second, 0}, {11 * time.Second, 1}} {
				b.exec(t, "UPDATE files SET mtime = mtime - $1::interval, stable_since = stable_since - $1::interval", passed.d)
				promoted, _, err := b.Promote(t.Context(), rule.server)
				require.NoError(t, err)
				require.Equal(t, passed.promoted, promoted)
			}
			require.Zero(t, b.only(t).SettlesAt)
		})
	}
}

// TestAFileShowsItsServersState: neither a paused nor a suspended server starts the file.
func TestAFileShowsItsServersState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ready(t, "/a")
	require.False(t, b.only(t).ServerPaused || b.only(t).ServerSuspended)
	require.NoError(t, b.SuspendServer(t.Context(), b.server.UUID, "refused"))
	require.True(t, b.only(t).ServerSuspended)
	require.NoError(t, b.PauseServer(t.Context(), b.server.UUID))
	require.True(t, b.only(t).ServerPaused)
}

func TestARejectedFileShowsTheReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link := seen("/a", 1)
	link.Rejected = "is a symbolic link"
	b.observe(t, link)
	f := b.only(t)
	assert.Equal(t, ingest.StatusRejected, f.Status)
	assert.Equal(t, "it is a symbolic link", f.ErrorMessage)
	assert.Equal(t, ingest.KindUnsafeName, f.ErrorKind)
	assert.Equal(t, ingest.StepDiscover, f.ErrorStep)
}
