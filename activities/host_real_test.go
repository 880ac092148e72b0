package activities_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// deaf is Temporal with a host that asks for no work.
type deaf struct {
	activities.Workflows
	woken int
}

func (*deaf) Polled(context.Context, string) (bool, error) { return false, nil }

func (d *deaf) Wake(context.Context, ingest.Server) error {
	d.woken++
	return nil
}

// value runs an activity and returns its result.
func value[T any](b *bench, name string, in any) (out T) {
	b.T.Helper()
	result, err := b.env.ExecuteActivity(name, in)
	require.NoError(b.T, err)
	require.NoError(b.T, result.Get(&out))
	return out
}

// TestABusyHostLives: one whose every hand is full asks for no work, but says
// in the ledger that it lives. One that says nothing for too long is dead.
func TestABusyHostLives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts.Workflows = &deaf{Workflows: b.acts.Workflows}
	f := b.ready("a.bin", sandbox.Random(5000))
	require.NoError(t, b.Store.SeeHost(b.Ctx, "another"))
	b.stagedOn(f, "another")
	there := ingest.HostQueue("another")

	assert.True(t, value[activities.CheckHostResult](b, activities.NameCheckHost, activities.CheckHostInput{Queue: there}).Alive)
	claim := activities.ClaimHostInput{FileUUID: f.UUID, Size: f.Size}
	assert.Equal(t, there, value[activities.Host](b, activities.NameClaimHost, claim).Queue, "its bytes are there")

	b.acts.HostFresh = 0
	assert.False(t, value[activities.CheckHostResult](b, activities.NameCheckHost, activities.CheckHostInput{Queue: there}).Alive)
	assert.Equal(t, ingest.HostQueue(b.acts.Staging.HostID()), value[activities.Host](b, activities.NameClaimHost, claim).Queue)
}

// polling is Temporal with a host that asks for work.
type polling struct{ activities.Workflows }

func (polling) Polled(context.Context, string) (bool, error) { return true, nil }

// TestAHostThatAsksForWorkLives, though the ledger has not heard of it for long: it
// may be cut off from the ledger alone.
func TestAHostThatAsksForWorkLives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts.Workflows = polling{b.acts.Workflows}
	f := b.ready("a.bin", sandbox.Random(5000))
	b.stagedOn(f, "another")
	there := ingest.HostQueue("another")
	assert.True(t, value[activities.CheckHostResult](b, activities.NameCheckHost, activities.CheckHostInput{Queue: there}).Alive)
	claim := activities.ClaimHostInput{FileUUID: f.UUID, Size: f.Size}
	assert.Equal(t, there, value[activities.Host](b, activities.NameClaimHost, claim).Queue, "nobody fetches its bytes again")
}

// stagedOn makes the ledger say where a file's bytes are.
func (b *bench) stagedOn(f ingest.File, hostID string) {
	b.T.Helper()
	require.NoError(b.T, b.Store.Apply(b.Ctx, ingest.Change{FileUUID: f.UUID, Set: ingest.Columns{StagedOn: &hostID}}))
}

// TestADeferredFileWaitsAndKeepsItsBytes: it is ready again, not before some
// time, and on the host that has its bytes.
func TestADeferredFileWaitsAndKeepsItsBytes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	temporal := &deaf{Workflows: b.acts.Workflows}
	b.acts.Workflows = temporal
	f := b.ready("a.bin", sandbox.Random(5000))
	require.NoError(t, os.Chmod(b.sshd.Path("a.bin"), 0o600))
	require.Empty(t, b.download(f))

	requeue := activities.RequeueFileInput{
		FileUUID: f.UUID, Key: "run 1", Attempts: 10,
		Deferred: &ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: "it stutters"},
	}
	for range 2 { // its answer may be lost
		require.Equal(t, ingest.StatusReady, value[activities.Outcome](b, activities.NameRequeueFile, requeue).Status)
	}
	now, err := b.Store.File(b.Ctx, f.UUID)
	require.NoError(t, err)
	assert.WithinRange(t, now.NotBefore, time.Now(), time.Now().Add(10*time.Second), "once put off, not twice")
	assert.Equal(t, "it stutters", now.ErrorMessage)
	assert.Equal(t, ingest.StepDownload, now.ErrorStep)
	assert.Equal(t, b.acts.Staging.HostID(), now.StagedOn)
	assert.Equal(t, "it stutters", sandbox.Detail(b.Events(f.UUID), ingest.EventDeferred, "message"))
	dispatched := value[activities.DispatchFilesResult](b, activities.NameDispatchFiles, activities.DispatchFilesInput{ServerUUID: b.server.UUID})
	assert.Zero(t, dispatched.Started)
	assert.InDelta(t, 5*time.Second, dispatched.DeferredFor, float64(5*time.Second))
	assert.Zero(t, temporal.woken, "nobody need hurry")

	requeue.Deferred, requeue.Key = nil, "run 2"
	require.Equal(t, ingest.StatusReady, value[activities.Outcome](b, activities.NameRequeueFile, requeue).Status)
	assert.Equal(t, 1, temporal.woken)

	require.Empty(t, b.download(f))
	now, err = b.Store.File(b.Ctx, f.UUID)
	require.NoError(t, err)
	assert.Zero(t, now.NotBefore)
	assert.Equal(t, ingest.StatusDownloaded, now.Status)
}

// TestWhatWasTakenNeverVanishes: once its bytes were here, a file whose source
// is gone is for people to decide on, unless the bytes or the object are there.
func TestWhatWasTakenNeverVanishes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	lost, kept, stored := b.ready("lost.bin", sandbox.Random(5000)), b.ready("kept.bin", sandbox.Random(6000)), b.ready("stored.bin", sandbox.Random(7000))
	for _, f := range []ingest.File{lost, kept, stored} {
		require.Empty(t, b.download(f))
		require.Empty(t, b.verify(f))
		require.NoError(t, os.Remove(b.sshd.Path(f.Filename)))
	}
	require.NoError(t, b.acts.Staging.Discard(lost.UUID))
	b.stagedOn(lost, "another")
	assert.Equal(t, string(ingest.KindSourceGone), b.download(lost))
	now, err := b.Store.File(b.Ctx, lost.UUID)
	require.NoError(t, err)
	assert.Equal(t, "another", now.StagedOn, "a retry finds its way back to the only copy")

	require.Empty(t, b.download(kept), "its bytes are here")
	require.Empty(t, b.verify(kept))

	b.putWithoutCommit(stored)
	require.NoError(t, b.acts.Staging.Discard(stored.UUID))
	b.acts.Workflows = &deaf{Workflows: b.acts.Workflows}
	requeue := activities.RequeueFileInput{FileUUID: stored.UUID, Key: "run 1"}
	require.Equal(t, ingest.StatusReady, value[activities.Outcome](b, activities.NameRequeueFile, requeue).Status)
	require.Empty(t, b.download(stored), "its object is there")
	requeue.Key = "run 2"
	require.Equal(t, ingest.StatusUploaded, value[activities.Outcome](b, activities.NameRequeueFile, requeue).Status, "it needs no place any more")
	assert.Equal(t, ingest.StatusUploaded, b.status(stored))
	require.Empty(t, b.verify(stored))
	require.Empty(t, b.upload(stored))
	require.Empty(t, b.notify(stored))
	assert.Equal(t, ingest.StatusCompleted, b.status(stored))
}

// putWithoutCommit uploads a file and then forgets it, as a host does that dies
// between the store's answer and the ledger's.
func (b *bench) putWithoutCommit(f ingest.File) {
	b.T.Helper()
	b.acts.Ledger = &forgetful{Ledger: b.acts.Ledger}
	_, err := b.env.ExecuteActivity(activities.NameUpload, activities.UploadInput{FileUUID: f.UUID})
	require.Error(b.T, err)
	b.acts.Ledger = b.acts.Ledger.(*forgetful).Ledger
	require.Equal(b.T, ingest.StatusUploading, b.status(f))
}

// forgetful is a ledger that is away when a file is uploaded.
type forgetful struct{ activities.Ledger }

func (l *forgetful) Apply(ctx context.Context, change ingest.Change) error {
	if change.To == ingest.StatusUploaded {
		return ingest.Errorf(ingest.KindTransient, "the ledger is away")
	}
	return l.Ledger.Apply(ctx, change)
}

// TestAReadOnceServersFileIsNotTakenForNeverSeen: it may have given its only
// copy to an attempt that died.
func TestAReadOnceServersFileIsNotTakenForNeverSeen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := b.Register(b.sshd, "once", func(s *ingest.Server) { s.Settle, s.ReadOnce = 0, true })
	b.server = server
	f := b.ready("a.bin", sandbox.Random(5000))
	require.NoError(t, os.Remove(b.sshd.Path("a.bin")))
	assert.Equal(t, string(ingest.KindNotFound), b.download(f), "nobody had begun")
	assert.Equal(t, string(ingest.KindSourceGone), b.download(f), "an attempt had begun")
}

// TestAFileStaysWhereItsBytesAre, unless another worker may do what this one
// cannot and nothing is lost by it.
func TestAFileStaysWhereItsBytesAre(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	once := b.Register(b.sshd, "once", func(s *ingest.Server) { s.Settle, s.ReadOnce = 0, true })
	putOff := func(f ingest.File, n int, kind ingest.Kind) string {
		for i := range n {
			require.NoError(t, b.Store.Apply(b.Ctx, ingest.Change{FileUUID: f.UUID, To: ingest.StatusDownloading}))
			require.Equal(t, ingest.StatusReady, value[activities.Outcome](b, activities.NameRequeueFile, activities.RequeueFileInput{
				FileUUID: f.UUID, Key: "run " + strconv.Itoa(i), Deferred: &ingest.Failure{Step: ingest.StepDownload, Kind: kind},
			}).Status)
		}
		now, err := b.Store.File(b.Ctx, f.UUID)
		require.NoError(t, err)
		return now.StagedOn
	}
	full, stubborn := b.ready("full.bin", sandbox.Random(5000)), b.ready("stubborn.bin", sandbox.Random(6000))
	b.server = once
	given := b.ready("given.bin", sandbox.Random(7000))
	for _, f := range []ingest.File{full, stubborn, given} {
		b.stagedOn(f, "another")
	}
	assert.Empty(t, putOff(full, 1, ingest.KindStagingFull), "another worker may have room")
	assert.Equal(t, "another", putOff(stubborn, 7, ingest.KindTransient))
	assert.Empty(t, putOff(stubborn, 8, ingest.KindTransient), "another worker may reach the server")
	assert.Equal(t, "another", putOff(given, 9, ingest.KindStagingFull), "the server may have given it away")
}
