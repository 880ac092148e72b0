package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// failingLedger is a ledger that cannot record changes of the status.
type failingLedger struct {
	activities.Ledger
	status ingest.Status
}

func (l failingLedger) Apply(ctx context.Context, change ingest.Change) error {
	if change.To == l.status {
		return ingest.Errorf(ingest.KindTransient, "the ledger is unavailable")
	}
	return l.Ledger.Apply(ctx, change)
}

// TestStagedBytesStayUntilTheirObjectIsRecorded: until then they are the only recorded copy.
func TestStagedBytesStayUntilTheirObjectIsRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
	ledger := b.acts.Ledger
	b.acts.Ledger = failingLedger{ledger, ingest.StatusUploaded}
	assert.Equal(t, string(ingest.KindTransient), b.upload(t, f))
	assert.Len(t, b.S3.Objects(t), 1)
	assert.FileExists(t, b.staged(f))
	b.acts.Ledger = ledger
	require.Empty(t, b.upload(t, f))
	assert.NoFileExists(t, b.staged(f))
}

// TestOnlyAStoredFileIsNotified: a late step does not notify a completed file again.
func TestOnlyAStoredFileIsNotified(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	for _, step := range []func(*testing.T, ingest.File) string{b.download, b.verify} {
		assert.Equal(t, string(ingest.KindConflict), b.notify(t, f), "%s", b.status(t, f))
		require.Empty(t, step(t, f))
	}
	assert.Equal(t, string(ingest.KindConflict), b.notify(t, f), "%s", b.status(t, f))
	assert.Empty(t, b.AMQP.Messages(t))
	require.Empty(t, b.upload(t, f))
	// The message is sent, and the commit fails: the next attempt sends the same message.
	ledger := b.acts.Ledger
	b.acts.Ledger = failingLedger{ledger, ingest.StatusCompleted}
	assert.Equal(t, string(ingest.KindTransient), b.notify(t, f))
	b.acts.Ledger = ledger
	require.Equal(t, ingest.StatusUploaded, b.status(t, f))
	for range 3 {
		require.Empty(t, b.notify(t, f))
	}
	messages := b.AMQP.Messages(t)
	require.Len(t, messages, 2)
	assert.Equal(t, messages[0].ID, messages[1].ID)
}

// TestAServerLevelErrorSuspends: it suspends the server; a transient error does not.
func TestAServerLevelErrorSuspends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(t *testing.T, b *bench)
		kind   ingest.Kind
		state  ingest.ServerState
	}{
		"another host key": {func(t *testing.T, b *bench) {
			b.sshd.RotateHostKey(t)
			b.sshd.KillSessions()
		}, ingest.KindHostKey, ingest.ServerSuspended},
		"not listening": {func(t *testing.T, b *bench) { b.sshd.Stop(t) }, ingest.KindTransient, ingest.ServerOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.damage(t, b)
			assert.Equal(t, string(c.kind), b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "schedule"}))
			server, err := b.Store.Server(b.Context(t), b.server.UUID)
			require.NoError(t, err)
			assert.Equal(t, c.state, server.State)
			assert.NotEmpty(t, server.LastError)
		})
	}
}
