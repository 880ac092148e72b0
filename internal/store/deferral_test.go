package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// deferFile defers the file for the nth time and returns the length of the deferral.
func (b *testBundle) deferFile(t *testing.T, fileUUID string, n int) time.Duration {
	t.Helper()
	require.NoError(t, b.Apply(t.Context(), ingest.Change{
		FileUUID: fileUUID, To: ingest.StatusReady, NewRound: true, Defer: true,
		Events: []ingest.Event{{Type: ingest.EventDeferred, Key: uuid.NewString()}},
		Set:    ingest.Columns{Error: &ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: "it stutters"}},
	}))
	f := b.only(t)
	require.Equal(t, n, f.Deferrals)
	return f.NotBefore.Sub(f.UpdatedAt)
}

// Each consecutive deferral is longer; a complete read or an operator action resets the series.
func TestDeferralsGrowUntilReset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	for n, want := range []time.Duration{
		10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 640 * time.Second,
		15 * time.Minute, 15 * time.Minute,
	} {
		b.walk(t, f.UUID, ingest.StatusDownloading)
		require.Equal(t, want, b.deferFile(t, f.UUID, n+1))
		ready, err := b.ReadyFiles(t.Context(), b.server.UUID, nil, 10)
		require.NoError(t, err)
		require.Empty(t, ready)
	}
	b.exec(t, "UPDATE files SET not_before = now()")
	ready, err := b.ReadyFiles(t.Context(), b.server.UUID, nil, 10)
	require.NoError(t, err)
	require.Len(t, ready, 1)

	b.walk(t, f.UUID, ingest.StatusDownloading, ingest.StatusDownloaded)
	now := b.only(t)
	assert.Zero(t, now.NotBefore)
	assert.Zero(t, now.Deferrals)
	require.Equal(t, 10*time.Second, b.deferFile(t, f.UUID, 1), "a new series of deferrals begins")
}

func TestAnOperatorActionEndsADeferral(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	b.deferFile(t, f.UUID, 1)
	b.walk(t, f.UUID, ingest.StatusError)
	require.NoError(t, b.Apply(t.Context(), ingest.Change{
		FileUUID: f.UUID, To: ingest.StatusReady, NewRound: true,
		Events: []ingest.Event{{Type: ingest.EventOperatorAction, Key: "retry"}},
	}))
	now := b.only(t)
	assert.Zero(t, now.NotBefore)
	assert.Zero(t, now.Deferrals)
}

func TestHostsAreSeenByTheDatabaseClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.RecordHeartbeat(t.Context(), "a"))
	for _, c := range []struct {
		host   string
		within time.Duration
		want   bool
	}{{"a", time.Minute, true}, {"a", 0, false}, {"b", time.Minute, false}} {
		seen, err := b.HostSeen(t.Context(), c.host, c.within)
		require.NoError(t, err)
		assert.Equal(t, c.want, seen, c)
	}
}

// A deferred file is ordered by the end of its deferral: after files that became ready before
// that, before later ones.
func TestADeferredFileIsOrderedByItsDeferral(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/early", 2)...)
	b.exec(t, "UPDATE files SET not_before = clock_timestamp(), deferrals = 1 WHERE id = $1", b.files(t)[0].ID)
	b.observe(t, paths("/late", 1)...)
	b.promote(t, 0)
	files := b.files(t)
	ready, err := b.ReadyFiles(t.Context(), b.server.UUID, nil, 10)
	require.NoError(t, err)
	require.Equal(t, []string{files[1].UUID, files[0].UUID, files[2].UUID}, uuids(ready))
}

// Files of a repaired server must not wait for the next daily scan.
func TestARepairedServerIsDueImmediately(t *testing.T) {
	t.Parallel()
	b := setup(t)
	due := func() int {
		servers, err := b.DueServers(t.Context(), ingest.DueQuery{Limit: 10})
		require.NoError(t, err)
		return len(servers)
	}
	lately := func() { b.exec(t, "UPDATE sftp_servers SET last_scan_at = now(), scan_interval = interval '1 day'") }
	for name, c := range map[string]struct{ harm, repair func() error }{
		"resumed": {
			func() error { return b.PauseServer(t.Context(), b.server.UUID) },
			func() error { return b.ResumeServer(t.Context(), b.server.UUID) },
		},
		"new password": {
			func() error { return b.SuspendServer(t.Context(), b.server.UUID, "refused") },
			func() error {
				return b.repair(t, b.server.UUID, func(s *ingest.Server) { s.PasswordEncrypted = []byte("p") })
			},
		},
	} {
		lately()
		require.NoError(t, c.repair(), name)
		require.Zero(t, due(), "%s: nothing was wrong", name)
		require.NoError(t, c.harm(), name)
		require.Zero(t, due(), name)
		require.NoError(t, c.repair(), name)
		require.Equal(t, 1, due(), name)
	}
}
