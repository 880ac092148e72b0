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
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
)

// unpolled mocks Temporal with a host that does not poll.
type unpolled struct {
	activities.Workflows
	woken int
}

func (*unpolled) Polled(context.Context, string) (bool, error) { return false, nil }

func (d *unpolled) Wake(context.Context, ingest.Server) error {
	d.woken++
	return nil
}

// value runs an activity that must succeed and returns its result.
func value[T any](t *testing.T, b *bench, name string, in any) (out T) {
	t.Helper()
	b.get(t, name, in, &out)
	return out
}

// TestASaturatedHostIsAlive: it does not poll, but writes heartbeats to the ledger. A host
// without recent heartbeats is dead.
func TestASaturatedHostIsAlive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts.Workflows = &unpolled{Workflows: b.acts.Workflows}
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.NoError(t, b.Store.RecordHeartbeat(b.Context(t), "another"))
	b.stagedOn(t, f, "another")
	there := temporalnames.HostQueue("another")

	assert.True(t, value[activities.CheckHostResult](t, b, activities.NameCheckHost, activities.CheckHostInput{Queue: there}).Alive)
	claim := activities.ClaimHostInput{FileUUID: f.UUID, Size: f.Size}
	assert.Equal(t, there, value[activities.Host](t, b, activities.NameClaimHost, claim).Queue, "the host has the staged bytes")

	b.acts.HostFresh = 0
	assert.False(t, value[activities.CheckHostResult](t, b, activities.NameCheckHost, activities.CheckHostInput{Queue: there}).Alive)
	assert.Equal(t, temporalnames.HostQueue(b.acts.Staging.HostID()), value[activities.Host](t, b, activities.NameClaimHost, claim).Queue)
}

// polled mocks Temporal with a host that polls.
type polled struct{ activities.Workflows }

func (polled) Polled(context.Context, string) (bool, error) { return true, nil }

// TestAPollingHostIsAlive: without a recent heartbeat it may only have lost its
// connection to the ledger.
func TestAPollingHostIsAlive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts.Workflows = polled{b.acts.Workflows}
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	b.stagedOn(t, f, "another")
	there := temporalnames.HostQueue("another")
	assert.True(t, value[activities.CheckHostResult](t, b, activities.NameCheckHost, activities.CheckHostInput{Queue: there}).Alive)
	claim := activities.ClaimHostInput{FileUUID: f.UUID, Size: f.Size}
	assert.Equal(t, there, value[activities.Host](t, b, activities.NameClaimHost, claim).Queue, "its bytes are not fetched again")
}

// stagedOn records the host of a file's staged bytes.
func (b *bench) stagedOn(t *testing.T, f ingest.File, hostID string) {
	t.Helper()
	require.NoError(t, b.Store.Apply(b.Context(t), ingest.Change{FileUUID: f.UUID, Set: ingest.Columns{StagedOn: &hostID}}))
}

// TestADeferredFileWaitsAndKeepsItsBytes: it is ready again after some time, on the host of
// its staged bytes.
func TestADeferredFileWaitsAndKeepsItsBytes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	temporal := &unpolled{Workflows: b.acts.Workflows}
	b.acts.Workflows = temporal
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.NoError(t, os.Chmod(b.sshd.Path("a.bin"), 0o600))
	require.Empty(t, b.download(t, f))

	requeue := activities.RequeueFileInput{
		FileUUID: f.UUID, Key: "run 1", Attempts: 10,
		Deferred: &ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindTransient, Message: "the connection broke"},
	}
	for range 2 { // a result may be lost
		require.Equal(t, ingest.StatusReady, value[activities.Outcome](t, b, activities.NameRequeueFile, requeue).Status)
	}
	now, err := b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	assert.WithinRange(t, now.NotBefore, time.Now(), time.Now().Add(10*time.Second), "deferred once, not twice")
	assert.Equal(t, "the connection broke", now.ErrorMessage)
	assert.Equal(t, ingest.StepDownload, now.ErrorStep)
	assert.Equal(t, b.acts.Staging.HostID(), now.StagedOn)
	assert.Equal(t, "the connection broke", sandbox.Detail(b.Events(t, f.UUID), ingest.EventDeferred, "message"))
	dispatched := value[activities.DispatchFilesResult](t, b, activities.NameDispatchFiles, activities.DispatchFilesInput{ServerUUID: b.server.UUID})
	assert.Zero(t, dispatched.Started)
	assert.InDelta(t, 5*time.Second, dispatched.DeferredFor, float64(5*time.Second))
	assert.Zero(t, temporal.woken, "a deferred file does not wake the scan")

	requeue.Deferred, requeue.Key = nil, "run 2"
	require.Equal(t, ingest.StatusReady, value[activities.Outcome](t, b, activities.NameRequeueFile, requeue).Status)
	assert.Equal(t, 1, temporal.woken)

	require.Empty(t, b.download(t, f))
	now, err = b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	assert.Zero(t, now.NotBefore)
	assert.Equal(t, ingest.StatusDownloaded, now.Status)
}

// TestAFetchedFileNeverVanishes: once its bytes were fetched, a file without source needs
// attention, unless the bytes or the object are available.
func TestAFetchedFileNeverVanishes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	lost, kept, stored := b.ready(t, "lost.bin", sandbox.Random(5000)), b.ready(t, "kept.bin", sandbox.Random(6000)), b.ready(t, "stored.bin", sandbox.Random(7000))
	for _, f := range []ingest.File{lost, kept, stored} {
		require.Empty(t, b.download(t, f))
		require.Empty(t, b.verify(t, f))
		require.NoError(t, os.Remove(b.sshd.Path(f.Filename)))
	}
	require.NoError(t, b.acts.Staging.Discard(lost.UUID))
	b.stagedOn(t, lost, "another")
	assert.Equal(t, string(ingest.KindSourceGone), b.download(t, lost))
	now, err := b.Store.File(b.Context(t), lost.UUID)
	require.NoError(t, err)
	assert.Equal(t, "another", now.StagedOn, "the host of the only copy stays recorded")

	require.Empty(t, b.download(t, kept), "the staged bytes are on this host")
	require.Empty(t, b.verify(t, kept))

	b.putWithoutCommit(t, stored)
	require.NoError(t, b.acts.Staging.Discard(stored.UUID))
	b.acts.Workflows = &unpolled{Workflows: b.acts.Workflows}
	requeue := activities.RequeueFileInput{FileUUID: stored.UUID, Key: "run 1"}
	require.Equal(t, ingest.StatusReady, value[activities.Outcome](t, b, activities.NameRequeueFile, requeue).Status)
	require.Empty(t, b.download(t, stored), "the object exists")
	requeue.Key = "run 2"
	require.Equal(t, ingest.StatusUploaded, value[activities.Outcome](t, b, activities.NameRequeueFile, requeue).Status, "a stored file needs no slot")
	assert.Equal(t, ingest.StatusUploaded, b.status(t, stored))
	require.Empty(t, b.verify(t, stored))
	require.Empty(t, b.upload(t, stored))
	require.Empty(t, b.notify(t, stored))
	assert.Equal(t, ingest.StatusCompleted, b.status(t, stored))
}

// putWithoutCommit uploads a file without recording it, as a host that crashes after the
// store's response.
func (b *bench) putWithoutCommit(t *testing.T, f ingest.File) {
	t.Helper()
	ledger := b.acts.Ledger
	b.acts.Ledger = failingLedger{ledger, ingest.StatusUploaded}
	_, err := b.env.ExecuteActivity(activities.NameUpload, activities.UploadInput{FileUUID: f.UUID})
	require.Error(t, err)
	b.acts.Ledger = ledger
	require.Equal(t, ingest.StatusUploading, b.status(t, f))
}

// TestAReadOnceFileNeedsAttentionOnceOpened: a crashed attempt may have read the only copy.
func TestAReadOnceFileNeedsAttentionOnceOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := b.Register(t, b.sshd, "once", func(s *ingest.Server) { s.Settle, s.ReadOnce = 0, true })
	b.server = server
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.NoError(t, os.Remove(b.sshd.Path("a.bin")))
	assert.Equal(t, string(ingest.KindNotFound), b.download(t, f), "no attempt had opened the file")
	assert.Equal(t, string(ingest.KindSourceGone), b.download(t, f), "an earlier attempt may have opened the file")
}

// TestAFileStaysOnItsHost: it changes its host only if another worker may succeed and no
// bytes are lost.
func TestAFileStaysOnItsHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	once := b.Register(t, b.sshd, "once", func(s *ingest.Server) { s.Settle, s.ReadOnce = 0, true })
	deferTimes := func(f ingest.File, n int, kind ingest.Kind) string {
		for i := range n {
			require.NoError(t, b.Store.Apply(b.Context(t), ingest.Change{FileUUID: f.UUID, To: ingest.StatusDownloading}))
			require.Equal(t, ingest.StatusReady, value[activities.Outcome](t, b, activities.NameRequeueFile, activities.RequeueFileInput{
				FileUUID: f.UUID, Key: "run " + strconv.Itoa(i), Deferred: &ingest.Failure{Step: ingest.StepDownload, Kind: kind},
			}).Status)
		}
		now, err := b.Store.File(b.Context(t), f.UUID)
		require.NoError(t, err)
		return now.StagedOn
	}
	full, often := b.ready(t, "full.bin", sandbox.Random(5000)), b.ready(t, "often.bin", sandbox.Random(6000))
	b.server = once
	readOnce := b.ready(t, "once.bin", sandbox.Random(7000))
	for _, f := range []ingest.File{full, often, readOnce} {
		b.stagedOn(t, f, "another")
	}
	assert.Empty(t, deferTimes(full, 1, ingest.KindStagingFull), "another worker may have space")
	assert.Equal(t, "another", deferTimes(often, 7, ingest.KindTransient))
	assert.Empty(t, deferTimes(often, 8, ingest.KindTransient), "another worker may reach the server")
	assert.Equal(t, "another", deferTimes(readOnce, 9, ingest.KindStagingFull), "the server may have removed it")
}
