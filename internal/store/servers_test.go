package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestServerIsStoredAsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	given := ingest.Server{
		UUID: uuid.NewString(), Name: "globex", Host: "10.0.0.1", Port: 2222, Username: "u",
		PasswordEncrypted: []byte{0, 1}, PrivateKeyEncrypted: []byte{2}, HostKeys: []string{"ssh-ed25519 AAAA"},
		RootPath: "/out", Include: []string{"**/*.csv"}, Exclude: []string{"tmp/**"}, MaxParallel: 7, Settle: 0,
		ScanInterval: 90 * time.Second, AfterIngest: "move:/done", Active: true, State: ingest.ServerOK,
		OnCollision: ingest.CollisionKeep, MinAge: time.Hour, DoneMarker: "*.done", SidecarWait: time.Minute, MaxDepth: 3,
		ReadOnce: true, LegacyAlgorithms: true, Transfer: ingest.TransferDirect,
	}
	added, err := b.AddServer(t.Context(), given)
	require.NoError(t, err)
	assert.NotZero(t, added.ID)
	assert.WithinDuration(t, time.Now(), added.CreatedAt, time.Hour)
	again, err := b.AddServer(t.Context(), given)
	require.NoError(t, err, "the first response may have been lost")
	byName, err := b.ServerByName(t.Context(), "globex")
	require.NoError(t, err)
	byUUID, err := b.ServerByName(t.Context(), given.UUID)
	require.NoError(t, err)
	for _, read := range []ingest.Server{again, byName, byUUID} {
		assert.WithinDuration(t, added.ReadAt, read.ReadAt, time.Hour)
		read.ReadAt = added.ReadAt
		assert.Equal(t, added, read)
	}

	added.ReadAt, added.ID, added.CreatedAt, added.UpdatedAt = time.Time{}, 0, time.Time{}, time.Time{}
	assert.Equal(t, given, added)
}

func TestServerRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, err := b.AddServer(ctx, ingest.Server{Name: "acme", Host: "h", Username: "u"})
	requireKind(t, ingest.KindConflict, err, `a server named "acme" already exists`)
	_, err = b.AddServer(ctx, ingest.Server{UUID: b.server.UUID, Name: "acme2", Host: "h", Username: "u"})
	requireKind(t, ingest.KindConflict, err, "already belongs to server \"acme\"")
	_, err = b.AddServer(ctx, ingest.Server{Name: "bad name", Host: "h", Username: "", Port: 70000})
	requireKind(t, ingest.KindInvalid, err, "port 70000")
	_, err = b.AddServer(ctx, ingest.Server{UUID: "x", Name: "n", Host: "h", Username: "u"})
	requireKind(t, ingest.KindInvalid, err, "is not a uuid")
	_, err = b.ServerByName(ctx, "nope")
	requireKind(t, ingest.KindMissing, err, `no server named "nope"`)
}

func TestServersArePagedByName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"zeta", "Beta", "alpha-1", "alpha.2"} {
		b.addServer(t, name)
	}
	var names []string
	for after := ""; ; {
		page, err := b.Servers(t.Context(), after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			names = append(names, s.Name)
		}
		after = names[len(names)-1]
	}
	require.Equal(t, []string{"Beta", "acme", "alpha-1", "alpha.2", "zeta"}, names)
}

func TestServerLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	id := b.server.UUID
	now := func() ingest.Server {
		s, err := b.Server(ctx, id)
		require.NoError(t, err)
		return s
	}
	suspend := func() {
		b.exec(t, "UPDATE sftp_servers SET state = 'suspended', last_error = 'host key changed'")
	}
	suspend()
	require.NoError(t, b.repair(t, id, func(s *ingest.Server) {
		s.HostKeys, s.PasswordEncrypted, s.PrivateKeyEncrypted = []string{"ssh-ed25519 BBBB"}, []byte("sealed"), nil
	}))
	assert.Equal(t, ingest.ServerOK, now().State)
	assert.Empty(t, now().LastError)
	assert.Equal(t, []string{"ssh-ed25519 BBBB"}, now().HostKeys)
	assert.Equal(t, []byte("sealed"), now().PasswordEncrypted)
	assert.Nil(t, now().PrivateKeyEncrypted)

	require.NoError(t, b.PauseServer(ctx, id))
	assert.False(t, now().Active)
	suspend()
	require.NoError(t, b.ResumeServer(ctx, id))
	assert.True(t, now().Active)
	assert.Equal(t, ingest.ServerOK, now().State)
	assert.Empty(t, now().LastError)

	_, err := b.StartScan(ctx, id, "k")
	require.NoError(t, err)
	b.observe(t, seen("/a", 1))
	requireKind(t, ingest.KindConflict, b.RemoveServer(ctx, id, removing, agree), "1 file that has not started: pause it")
	other := b.addServer(t, "other")
	_, err = b.StartScan(ctx, other.UUID, "k2")
	require.NoError(t, err)
	require.NoError(t, b.RemoveServer(ctx, other.UUID, removing, agree))
	require.NoError(t, b.RemoveServer(ctx, other.UUID, removing, agree))
	_, err = b.Server(ctx, other.UUID)
	requireKind(t, ingest.KindMissing, err, "no server")
}

func TestDueServers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "DELETE FROM sftp_servers")
	set := func(name, column string) {
		b.addServer(t, name)
		if column != "" {
			b.exec(t, "UPDATE sftp_servers SET "+column+" WHERE name = $1", name)
		}
	}
	set("never", "")
	set("long-ago", "last_scan_at = now() - interval '1 hour'")
	set("almost", "last_scan_at = now() - interval '57 seconds'")
	set("began-late", "last_scan_at = now() - interval '45 seconds'")
	set("just-now", "last_scan_at = now() - interval '30 seconds'")
	set("daily", "scan_interval = interval '1 day', last_scan_at = now() - interval '6 minutes'")
	set("failed", "scan_interval = interval '1 day', last_scan_at = now() - interval '6 minutes', last_error = 'it was away'")
	set("failed-now", "scan_interval = interval '1 day', last_scan_at = now() - interval '1 minute', last_error = 'it was away'")
	set("suspended", "state = 'suspended'")
	set("inactive", "is_active = false")
	never, err := b.ServerByName(t.Context(), "never")
	require.NoError(t, err)
	for name, try := range map[string]struct {
		query ingest.DueQuery
		want  []string
	}{
		"schedule":        {ingest.DueQuery{}, []string{"never", "long-ago", "almost", "failed"}},
		"every minute":    {ingest.DueQuery{Tick: time.Minute}, []string{"never", "long-ago", "almost", "began-late", "failed"}},
		"forced":          {ingest.DueQuery{Force: true}, []string{"never", "long-ago", "almost", "began-late", "just-now", "daily", "failed", "failed-now", "suspended"}},
		"named":           {ingest.DueQuery{Servers: []string{never.UUID, "almost", "just-now"}}, []string{"never", "almost"}},
		"named, forced":   {ingest.DueQuery{Force: true, Servers: []string{"suspended", "inactive"}}, []string{"suspended"}},
		"unknown, forced": {ingest.DueQuery{Force: true, Servers: []string{"nope"}}, nil},
	} {
		var got []string
		for q := try.query; ; {
			q.Limit = 2
			page, err := b.DueServers(t.Context(), q)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, s := range page {
				require.Greater(t, s.UUID, q.AfterUUID, name)
				q.AfterUUID = s.UUID
				got = append(got, s.Name)
			}
		}
		assert.ElementsMatch(t, try.want, got, name)
	}
	_, err = b.DueServers(t.Context(), ingest.DueQuery{AfterUUID: "x"})
	requireKind(t, ingest.KindInvalid, err, "use the cursor of the previous page")
}

func TestScanLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	server := func() ingest.Server {
		s, err := b.Server(ctx, b.server.UUID)
		require.NoError(t, err)
		return s
	}
	require.Zero(t, server().LastScanAt)
	id, err := b.StartScan(ctx, b.server.UUID, "run/1")
	require.NoError(t, err)
	running := b.latestScan(t)
	assert.Zero(t, running.FinishedAt)
	assert.Equal(t, running.StartedAt, server().LastScanAt, "the time of the start")

	result := ingest.ScanResult{
		ScanID: id, ServerUUID: b.server.UUID, Counts: ingest.ScanCounts{Seen: 5, New: 4, Settling: 3, Rejected: 2, Errors: 1, InProgress: 6, Alone: 7},
		Failure: &ingest.Failure{Kind: ingest.KindTransient, Message: "connection reset"},
	}
	require.NoError(t, b.FinishScan(ctx, result))
	scan := b.latestScan(t)
	assert.Equal(t, result.Counts, scan.ScanCounts)
	assert.Equal(t, "connection reset", scan.Error)
	assert.False(t, scan.FinishedAt.Before(scan.StartedAt))
	assert.Equal(t, ingest.ServerOK, server().State)
	assert.Equal(t, "connection reset", server().LastError)

	again, err := b.StartScan(ctx, b.server.UUID, "run/1")
	require.NoError(t, err)
	require.Equal(t, id, again)
	reopened := b.latestScan(t)
	assert.Zero(t, reopened.FinishedAt)
	assert.Empty(t, reopened.Error)

	result.Failure, result.Suspend = &ingest.Failure{Kind: ingest.KindAuth, Message: "refused"}, true
	require.NoError(t, b.FinishScan(ctx, result))
	assert.Equal(t, ingest.ServerSuspended, server().State)
	result.Suspend = false
	result.Failure = &ingest.Failure{Kind: ingest.KindTransient, Message: "connection reset"}
	require.NoError(t, b.FinishScan(ctx, result))
	assert.Equal(t, ingest.ServerSuspended, server().State, "a transient failure does not end the suspension")
	assert.Equal(t, "refused", server().LastError, "and keeps its reason")
	result.Failure = nil
	require.NoError(t, b.FinishScan(ctx, result))
	assert.Equal(t, ingest.ServerSuspended, server().State, "a listing that logged in before the refusal does not end it")
	assert.Equal(t, "refused", server().LastError)
	result.EndsSuspension, result.Broken = true, true
	require.NoError(t, b.FinishScan(ctx, result))
	assert.Equal(t, ingest.ServerSuspended, server().State, "an interrupted listing does not end it")
	result.Broken = false
	require.NoError(t, b.FinishScan(ctx, result))
	assert.Equal(t, ingest.ServerOK, server().State)
	assert.Empty(t, server().LastError)

	result.ScanID++
	requireKind(t, ingest.KindMissing, b.FinishScan(ctx, result), "no scan")
}

// TestAQuickScanIsRecordedWithItsRow: one statement inserts the finished scan, once.
func TestAQuickScanIsRecordedWithItsRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	result := ingest.ScanResult{Key: "run/try-1", Took: 2 * time.Second, ServerUUID: b.server.UUID, Counts: ingest.ScanCounts{Seen: 5, New: 4, Settling: 3}}
	finish := func(change func(*ingest.ScanResult)) (ingest.Server, ingest.Scan) {
		change(&result)
		require.NoError(t, b.FinishScan(ctx, result))
		server, err := b.Server(ctx, b.server.UUID)
		require.NoError(t, err)
		scan := b.latestScan(t)
		return server, scan
	}
	server, scan := finish(func(*ingest.ScanResult) {})
	assert.Equal(t, result.Counts, scan.ScanCounts)
	assert.Equal(t, 2*time.Second, scan.FinishedAt.Sub(scan.StartedAt))
	assert.Equal(t, scan.StartedAt, server.LastScanAt, "the time of the start")
	_, again := finish(func(*ingest.ScanResult) {})
	assert.Equal(t, scan, again, "the same key is recorded once")

	later, _ := finish(func(r *ingest.ScanResult) { r.Key, r.Took = "long", time.Hour })
	assert.False(t, later.LastScanAt.Before(server.LastScanAt), "an earlier start does not lower last_scan_at")
	refused := &ingest.Failure{Kind: ingest.KindAuth, Message: "refused"}
	server, scan = finish(func(r *ingest.ScanResult) {
		r.Key, r.Took, r.Failure, r.Suspend = "refused", time.Second, refused, true
	})
	assert.Equal(t, []string{string(ingest.ServerSuspended), "refused", "refused"}, []string{string(server.State), server.LastError, scan.Error})
	server, _ = finish(func(r *ingest.ScanResult) {
		r.Key, r.Failure, r.Suspend, r.EndsSuspension = "repaired", nil, false, true
	})
	assert.Equal(t, []string{string(ingest.ServerOK), ""}, []string{string(server.State), server.LastError})

	result.Key, result.ServerUUID = "nowhere", uuid.NewString()
	requireKind(t, ingest.KindMissing, b.FinishScan(ctx, result), "no server")
	b.exec(t, "UPDATE sftp_servers SET removed_at = now(), is_active = false, password_encrypted = NULL WHERE server_uuid = $1", b.server.UUID)
	result.Key, result.ServerUUID = "removed", b.server.UUID
	requireKind(t, ingest.KindConflict, b.FinishScan(ctx, result), "has been removed")
	scans, err := b.ScansBefore(ctx, b.server.UUID, 0, 10)
	require.NoError(t, err)
	assert.Len(t, scans, 4)
}

func TestScansAreListedLatestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	for i := range 3 {
		id, err := b.StartScan(t.Context(), b.server.UUID, fmt.Sprint(i))
		require.NoError(t, err)
		ids = append(ids, id)
	}
	scans, err := b.ScansBefore(t.Context(), b.server.UUID, 0, 2)
	require.NoError(t, err)
	require.Len(t, scans, 2)
	require.Equal(t, []int64{ids[2], ids[1]}, []int64{scans[0].ID, scans[1].ID})
}

func agree(ingest.Server) error { return nil }

// removing is the action of removing a server.
var removing = ingest.OperatorAction{Action: ingest.ActionSkip, Actor: "ann", Reason: "server removed", Key: "entry", Verified: true}

// TestRemovingAServerSkipsUnstartedFiles: on a paused server, nothing else would end
// them.
func TestRemovingAServerSkipsUnstartedFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	waits := seen("/waits", 1)
	waits.WaitsFor = "its done-marker"
	b.observe(t, seen("/settles", 1), waits)
	ready, deferred, begun := b.ready(t, "/ready"), b.ready(t, "/deferred"), b.ready(t, "/begun")
	b.exec(t, "UPDATE files SET not_before = now() + interval '5 minutes' WHERE file_uuid = $1", deferred.UUID)
	b.exec(t, "UPDATE files SET hold = 'held' WHERE remote_path = '/settles'")
	b.exec(t, "INSERT INTO slots (file_id, server_uuid) SELECT id, server_uuid FROM files WHERE file_uuid = $1", begun.UUID)
	require.NoError(t, b.PauseServer(ctx, b.server.UUID))
	requireKind(t, ingest.KindConflict, b.RemoveServer(ctx, b.server.UUID, removing, agree), "1 file in flight or failed")
	kept, err := b.File(ctx, ready.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.StatusReady, kept.Status, "nothing is skipped if the server is kept")

	b.exec(t, "DELETE FROM slots")
	require.NoError(t, b.RemoveServer(ctx, b.server.UUID, removing, agree))
	for _, key := range []string{b.server.Name, b.server.UUID} {
		found, err := b.ServerUUID(ctx, key)
		require.NoError(t, err)
		require.Equal(t, b.server.UUID, found)
	}
	later := b.addServer(t, b.server.Name)
	found, err := b.ServerUUID(ctx, later.Name)
	require.NoError(t, err)
	require.Equal(t, later.UUID, found, "a server that exists takes precedence")
	files, err := b.Files(ctx, ingest.FileFilter{Server: b.server.UUID})
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, file := range files {
		require.Equal(t, ingest.StatusSkipped, file.Status, file.RemotePath)
		require.Empty(t, file.WaitsFor, file.RemotePath)
		events, err := b.Events(ctx, file.UUID, 0, 10)
		require.NoError(t, err)
		last := events[len(events)-1]
		require.Equal(t, ingest.EventOperatorAction, last.Type)
		require.Equal(t, "server removed", last.Details["reason"])
	}
}

// TestAnUnstartedFileIsSkippedOnce: a started file is not skipped.
func TestAnUnstartedFileIsSkippedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.observe(t, seen("/settles", 1))
	waiting, err := b.Files(ctx, ingest.FileFilter{})
	require.NoError(t, err)
	settles := waiting[0]
	for range 2 { // the first response may have been lost
		done, err := b.SkipNotStarted(ctx, settles, removing)
		require.NoError(t, err)
		require.True(t, done)
	}
	events, err := b.Events(ctx, settles.UUID, 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 2)
	b.observe(t, seen("/settles", 1))
	again, err := b.File(ctx, settles.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.StatusSkipped, again.Status, "a skipped file is not ingested again")

	begun := b.ready(t, "/begun")
	b.walk(t, begun.UUID, ingest.StatusDownloading)
	done, err := b.SkipNotStarted(ctx, begun, ingest.OperatorAction{Action: ingest.ActionSkip, Actor: "ann", Key: "other"})
	require.NoError(t, err)
	require.False(t, done)
}

// TestFault70_ServerRemovedMidTransfer: a server with files in flight is not removed. After
// the files have ended, it is removed, the ledger keeps the files, and a running listing
// records nothing more.
func TestFault70_ServerRemovedMidTransfer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	file := b.ready(t, "/x")
	b.walk(t, file.UUID, ingest.StatusDownloading)
	requireKind(t, ingest.KindConflict, b.RemoveServer(ctx, b.server.UUID, removing, agree), "1 file in flight or failed")
	b.walk(t, file.UUID, ingest.StatusError)
	requireKind(t, ingest.KindConflict, b.RemoveServer(ctx, b.server.UUID, removing, agree), "in flight or failed")
	b.walk(t, file.UUID, ingest.StatusSkipped)
	refused := errors.New("no")
	require.ErrorIs(t, b.RemoveServer(ctx, b.server.UUID, removing, func(ingest.Server) error { return refused }), refused)
	require.NoError(t, b.RemoveServer(ctx, b.server.UUID, removing, agree))
	require.NoError(t, b.RemoveServer(ctx, b.server.UUID, removing, agree), "removal is idempotent")

	_, err := b.ServerByName(ctx, "acme")
	requireKind(t, ingest.KindMissing, err, "acme")
	servers, err := b.Servers(ctx, "", 10)
	require.NoError(t, err)
	require.Empty(t, servers)
	_, err = b.Observe(ctx, b.server.UUID, "schedule", []ingest.Observation{seen("/y", 1)})
	requireKind(t, ingest.KindConflict, err, "has been removed")
	kept, err := b.File(ctx, file.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.StatusSkipped, kept.Status)
	require.Equal(t, "acme", kept.ServerName, "also in a notification that is published again")
	require.True(t, kept.ServerRemoved)
	row, err := b.Server(ctx, b.server.UUID)
	require.NoError(t, err)
	require.False(t, row.Active)
	require.Empty(t, row.PasswordEncrypted)
	b.addServer(t, "acme")
	_, err = b.AddServer(ctx, ingest.Server{Name: "acme", Host: "h", Username: "u", PasswordEncrypted: []byte{1}, Active: true})
	requireKind(t, ingest.KindConflict, err, `"acme" already exists`)
}

// repair edits a server and ends its suspension.
func (b *testBundle) repair(t *testing.T, serverUUID string, change func(*ingest.Server)) error {
	t.Helper()
	_, err := b.EditServer(t.Context(), serverUUID, func(s ingest.Server) (ingest.Server, error) {
		change(&s)
		s.State, s.LastError = ingest.ServerOK, ""
		return s, nil
	})
	return err
}

// A server whose options were changed by SQL to values of another type is not used, and
// does not affect other servers.
func TestUnreadableOptionsAffectOneServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	other, err := b.AddServer(ctx, ingest.Server{Name: "globex", Host: "h", Username: "u", PasswordEncrypted: []byte{1}, Active: true})
	require.NoError(t, err)
	for _, options := range []string{`{"min_size": "x"}`, `{"min_size": 1.5}`, `{"in_progress_names": 1}`, `{"connect_timeout": "soon"}`, `{"proxy": []}`} {
		b.exec(t, "UPDATE sftp_servers SET options = $1 WHERE server_uuid = $2", options, b.server.UUID)
		_, err := b.Server(ctx, b.server.UUID)
		requireKind(t, ingest.KindServer, err, "its options in the table sftp_servers cannot be read")
		_, err = b.ServerByName(ctx, b.server.Name)
		requireKind(t, ingest.KindServer, err, "cannot be read")
		_, _, err = b.ServerToScan(ctx, b.server.UUID)
		requireKind(t, ingest.KindServer, err, "cannot be read")
		_, err = b.EditServer(ctx, b.server.UUID, func(s ingest.Server) (ingest.Server, error) { return s, nil })
		requireKind(t, ingest.KindServer, err, "cannot be read")
		fence, err := b.RegisterDispatcher(ctx, b.server.UUID)
		require.NoError(t, err)
		_, err = b.ReserveSlots(ctx, b.server.UUID, fence, 1)
		requireKind(t, ingest.KindServer, err, "cannot be read")

		page, err := b.Servers(ctx, "", 10)
		require.NoError(t, err)
		require.Len(t, page, 2)
		assert.Equal(t, ingest.ServerSuspended, page[0].State)
		assert.Contains(t, page[0].LastError, "cannot be read")
		assert.Equal(t, ingest.ServerOK, page[1].State)
		due, err := b.DueServers(ctx, ingest.DueQuery{})
		require.NoError(t, err)
		require.Len(t, due, 2)
		read, err := b.Server(ctx, other.UUID)
		require.NoError(t, err)
		assert.Equal(t, other.UUID, read.UUID)
	}
}
