package activities_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// loginCounter counts log-ins and calls before, which may be nil, before each.
type loginCounter struct {
	activities.Sources
	count  atomic.Int64
	before func()
}

func (d *loginCounter) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	d.count.Add(1)
	if d.before != nil {
		d.before()
	}
	return d.Sources.Open(ctx, server)
}

func (b *bench) countLogins() *loginCounter {
	l := &loginCounter{Sources: b.acts.Sources}
	b.acts.Sources = l
	return l
}

func (b *bench) now() ingest.Server {
	b.T.Helper()
	server, err := b.Store.Server(b.Ctx, b.server.UUID)
	require.NoError(b.T, err)
	return server
}

func (b *bench) list(force bool) string {
	return b.run(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual", Force: force})
}

// TestARefusalIsNotRepeated: servers lock accounts by counting refusals, so the first refusal
// stops the log-ins of other files.
func TestARefusalIsNotRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := b.ready("1.csv", sandbox.Random(10)), b.ready("2.csv", sandbox.Random(11))
	b.sshd.Write("signed.csv.sha256", []byte(sandbox.Digest(sandbox.Random(20))+"  signed.csv\n"))
	signed := b.ready("signed.csv", sandbox.Random(20))
	require.Empty(t, b.download(signed))
	logins := b.countLogins()
	b.sshd.RotateHostKey()
	b.sshd.KillSessions()

	assert.Equal(t, string(ingest.KindHostKey), b.download(first))
	assert.Equal(t, ingest.ServerSuspended, b.now().State, "immediately, not when the file is parked")
	reason := b.now().LastError
	assert.Contains(t, reason, "which is not pinned")
	assert.EqualValues(t, 1, logins.count.Load())

	assert.Equal(t, string(ingest.KindSuspended), b.download(second))
	assert.Equal(t, string(ingest.KindSuspended), b.verify(signed), "its checksum file would have to be read")
	assert.Equal(t, string(ingest.KindSuspended), b.list(false))
	assert.Equal(t, string(ingest.KindSuspended), b.run(activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	assert.EqualValues(t, 1, logins.count.Load(), "no other log-in")
	require.Empty(t, b.run(activities.NameParkFile, activities.ParkFileInput{FileUUID: second.UUID, Step: ingest.StepDownload, Kind: ingest.KindSuspended, Message: "suspended"}))
	assert.Equal(t, reason, b.now().LastError, "the first reason stays recorded")

	// Force tries again.
	assert.Equal(t, string(ingest.KindHostKey), b.list(true))
	assert.EqualValues(t, 2, logins.count.Load())
	b.server.HostKeys = []string{b.sshd.HostKeyLine}
	b.Edit(b.server.UUID, func(s *ingest.Server) { s.HostKeys = b.server.HostKeys })
	require.Equal(t, ingest.ServerSuspended, b.now().State)
	require.Empty(t, b.list(true))
	assert.Equal(t, ingest.ServerOK, b.now().State)
	assert.Empty(t, b.now().LastError)
	require.Empty(t, b.verify(signed))
}

// TestARefusalOfOldSettingsSuspendsNothing: the operator changed them during the log-in.
func TestARefusalOfOldSettingsSuspendsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready("a.csv", sandbox.Random(10))
	b.sshd.RotateHostKey()
	b.sshd.KillSessions()
	logins := b.countLogins()
	logins.before = func() { b.Pin(b.server.UUID, b.sshd.HostKeyLine) }
	assert.Equal(t, string(ingest.KindTransient), b.download(f))
	assert.Equal(t, ingest.ServerOK, b.now().State)
	require.Empty(t, b.download(f))
}

func TestAPausedServerIsNotContacted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ready("a.csv", sandbox.Random(10))
	logins := b.countLogins()
	require.NoError(t, b.Store.PauseServer(b.Ctx, b.server.UUID))
	scans, err := b.Store.ScansBefore(b.Ctx, b.server.UUID, 0, 10)
	require.NoError(t, err)

	var listed activities.ListServerFilesResult
	b.get(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Force: true}, &listed)
	assert.Equal(t, activities.ListServerFilesResult{Paused: true}, listed)
	var looked activities.RecheckSettlingResult
	b.get(activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}, &looked)
	assert.Equal(t, activities.RecheckSettlingResult{Paused: true}, looked)
	dispatch := func() (result activities.DispatchFilesResult) {
		b.get(activities.NameDispatchFiles, activities.DispatchFilesInput{ServerUUID: b.server.UUID}, &result)
		return result
	}
	assert.Equal(t, activities.DispatchFilesResult{Halt: activities.Halt{Paused: true}}, dispatch())
	assert.Zero(t, logins.count.Load())
	after, err := b.Store.ScansBefore(b.Ctx, b.server.UUID, 0, 10)
	require.NoError(t, err)
	assert.Equal(t, scans, after, "it was not scanned")

	require.NoError(t, b.Store.ResumeServer(b.Ctx, b.server.UUID))
	require.NoError(t, b.Store.SuspendServer(b.Ctx, b.server.UUID, "refused"))
	assert.Equal(t, activities.DispatchFilesResult{Halt: activities.Halt{Suspended: true}}, dispatch())

	b.get(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: "99999999-9999-4999-8999-999999999999"}, &listed)
	assert.True(t, listed.Paused, "a removed server is not contacted, either")
}

// get runs an activity that must succeed.
func (b *bench) get(name string, in, result any) {
	b.T.Helper()
	value, err := b.env.ExecuteActivity(name, in)
	require.NoError(b.T, err)
	require.NoError(b.T, value.Get(result))
}
