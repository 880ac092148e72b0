package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// putOff defers the file for the nth time and returns how long it is put off.
func (b *testBundle) putOff(t *testing.T, fileUUID string, n int) time.Duration {
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

// A file is put off for longer each time in a row, and from the beginning again
// once its bytes came in or an operator decided.
func TestDeferralsGrowUntilSomethingMoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		b.walk(t, f.UUID, ingest.StatusDownloading)
		require.Equal(t, want, b.putOff(t, f.UUID, n+1))
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
	require.Equal(t, time.Minute, b.putOff(t, f.UUID, 1), "from the beginning")
}

func TestADecisionEndsADeferral(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.ready(t, "/a")
	b.putOff(t, f.UUID, 1)
	b.walk(t, f.UUID, ingest.StatusError)
	require.NoError(t, b.Apply(t.Context(), ingest.Change{
		FileUUID: f.UUID, To: ingest.StatusReady, NewRound: true,
		Events: []ingest.Event{{Type: ingest.EventOperatorAction, Key: "retry"}},
	}))
	now := b.only(t)
	assert.Zero(t, now.NotBefore)
	assert.Zero(t, now.Deferrals)
}

func TestHostsAreSeenByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.SeeHost(t.Context(), "a"))
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
