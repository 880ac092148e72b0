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

// loginCounter counts logins and calls before, which may be nil, before each.
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

func (b *bench) now(t *testing.T) ingest.Server {
	t.Helper()
	server, err := b.Store.Server(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	return server
}

func (b *bench) list(t *testing.T, force bool) string {
	return b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual", Force: force})
}

// TestARefusalIsNotRepeated: servers lock accounts by counting refusals, so the first refusal
// stops the logins of other files.
func TestARefusalIsNotRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := b.ready(t, "1.csv", sandbox.Random(10)), b.ready(t, "2.csv", sandbox.Random(11))
	b.sshd.Write(t, "signed.csv.sha256", []byte(sandbox.Digest(sandbox.Random(20))+"  signed.csv\n"))
	signed := b.ready(t, "signed.csv", sandbox.Random(20))
	require.Empty(t, b.download(t, signed))
	logins := b.countLogins()
	b.sshd.RotateHostKey(t)
	b.sshd.KillSessions()

	assert.Equal(t, string(ingest.KindHostKey), b.download(t, first))
	assert.Equal(t, ingest.ServerSuspended, b.now(t).State, "immediately, not when the failure of the file is recorded")
	reason := b.now(t).LastError
	assert.Contains(t, reason, "which is not pinned")
	assert.EqualValues(t, 1, logins.count.Load())

	assert.Equal(t, string(ingest.KindSuspended), b.download(t, second))
	assert.Equal(t, string(ingest.KindSuspended), b.verify(t, signed), "its checksum file would have to be read")
	assert.Equal(t, string(ingest.KindSuspended), b.list(t, false))
	assert.Equal(t, string(ingest.KindSuspended), b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	assert.EqualValues(t, 1, logins.count.Load(), "no other login")
	require.Empty(t, b.run(t, activities.NameRecordFailure, activities.RecordFailureInput{FileUUID: second.UUID, Step: ingest.StepDownload, Kind: ingest.KindSuspended, Message: "suspended"}))
	assert.Equal(t, reason, b.now(t).LastError, "the first reason stays recorded")

	// Force tries again.
	assert.Equal(t, string(ingest.KindHostKey), b.list(t, true))
	assert.EqualValues(t, 2, logins.count.Load())
	b.server.HostKeys = []string{b.sshd.HostKeyLine}
	b.Edit(t, b.server.UUID, func(s *ingest.Server) { s.HostKeys = b.server.HostKeys })
	require.Equal(t, ingest.ServerSuspended, b.now(t).State)
	require.Empty(t, b.list(t, true))
	assert.Equal(t, ingest.ServerOK, b.now(t).State)
	assert.Empty(t, b.now(t).LastError)
	require.Empty(t, b.verify(t, signed))
}

// TestARefusalOfOldSettingsSuspendsNothing: the operator changed them during the login.
func TestARefusalOfOldSettingsSuspendsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(10))
	b.sshd.RotateHostKey(t)
	b.sshd.KillSessions()
	logins := b.countLogins()
	logins.before = func() { b.Pin(t, b.server.UUID, b.sshd.HostKeyLine) }
	assert.Equal(t, string(ingest.KindTransient), b.download(t, f))
	assert.Equal(t, ingest.ServerOK, b.now(t).State)
	require.Empty(t, b.download(t, f))
}

func TestAPausedServerIsNotContacted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ready(t, "a.csv", sandbox.Random(10))
	logins := b.countLogins()
	require.NoError(t, b.Store.PauseServer(b.Context(t), b.server.UUID))
	scans, err := b.Store.ScansBefore(b.Context(t), b.server.UUID, 0, 10)
	require.NoError(t, err)

	var listed activities.ListServerFilesResult
	b.get(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Force: true}, &listed)
	assert.Equal(t, activities.ListServerFilesResult{Paused: true}, listed)
	var looked activities.RecheckSettlingResult
	b.get(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}, &looked)
	assert.Equal(t, activities.RecheckSettlingResult{Paused: true}, looked)
	dispatch := func() (result activities.DispatchFilesResult) {
		b.get(t, activities.NameDispatchFiles, activities.DispatchFilesInput{ServerUUID: b.server.UUID}, &result)
		return result
	}
	assert.Equal(t, activities.DispatchFilesResult{Halt: activities.Halt{Paused: true}}, dispatch())
	assert.Zero(t, logins.count.Load())
	after, err := b.Store.ScansBefore(b.Context(t), b.server.UUID, 0, 10)
	require.NoError(t, err)
	assert.Equal(t, scans, after, "a paused server is not scanned")

	require.NoError(t, b.Store.ResumeServer(b.Context(t), b.server.UUID))
	require.NoError(t, b.Store.SuspendServer(b.Context(t), b.server.UUID, "refused"))
	assert.Equal(t, activities.DispatchFilesResult{Halt: activities.Halt{Suspended: true}}, dispatch())

	b.get(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: "99999999-9999-4999-8999-999999999999"}, &listed)
	assert.True(t, listed.Paused, "a removed server is not contacted, either")
}

// get runs an activity that must succeed.
func (b *bench) get(t *testing.T, name string, in, result any) {
	t.Helper()
	value, err := b.env.ExecuteActivity(name, in)
	require.NoError(t, err)
	require.NoError(t, value.Get(result))
}
