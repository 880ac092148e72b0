package operations

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// conformLedger is a ledger of the suite.
type conformLedger struct {
	Ledger
	// addFiles adds files of the server: three in error, one ready and one discovered. Each has
	// at least two events.
	addFiles func(t *testing.T, server ingest.Server)
	// audited returns the audit log, the oldest entry first.
	audited func(t *testing.T) []ingest.AuditEntry
}

// TestLedgersConform runs one suite on PostgreSQL and on fakeLedger. What fakeLedger lacks or
// has scripted is not in the suite.
func TestLedgersConform(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) conformLedger{"PostgreSQL": openStore, "fake": openFake} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			t.Run("servers", l.conformServers)
			t.Run("changes of servers", l.conformServerChanges)
			t.Run("files", l.conformFiles)
			t.Run("audit log", l.conformAuditLog)
			t.Run("canary", l.conformCanary)
		})
	}
}

func openStore(t *testing.T) conformLedger {
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	observe := func(t *testing.T, server ingest.Server, names ...string) {
		var seen []ingest.Observation
		for _, name := range names {
			seen = append(seen, ingest.Observation{Path: "/" + name, Size: 1, ModTime: time.Unix(1_800_000_000, 0)})
		}
		_, err := ledger.Observe(t.Context(), server.UUID, "manual", seen)
		require.NoError(t, err)
	}
	return conformLedger{
		Ledger: ledger,
		addFiles: func(t *testing.T, server ingest.Server) {
			observe(t, server, "1", "2", "3", "4")
			_, _, err := ledger.Promote(t.Context(), ingest.Server{UUID: server.UUID})
			require.NoError(t, err)
			files, err := ledger.Files(t.Context(), ingest.FileFilter{Server: server.UUID, Limit: 3})
			require.NoError(t, err)
			for _, file := range files {
				require.NoError(t, ledger.Apply(t.Context(), ingest.Change{FileUUID: file.UUID, To: ingest.StatusError}))
			}
			observe(t, server, "5")
		},
		audited: func(t *testing.T) []ingest.AuditEntry {
			entries, err := ledger.AuditLog(t.Context(), ingest.AuditFilter{})
			require.NoError(t, err)
			slices.Reverse(entries)
			return entries
		},
	}
}

func openFake(*testing.T) conformLedger {
	ledger := &fakeLedger{}
	return conformLedger{
		Ledger: ledger,
		addFiles: func(_ *testing.T, server ingest.Server) {
			for i, status := range []ingest.Status{ingest.StatusError, ingest.StatusError, ingest.StatusError, ingest.StatusReady, ingest.StatusDiscovered} {
				file := ingest.File{
					ID: int64(len(ledger.files) + 1), UUID: uuid.NewString(), ServerUUID: server.UUID, ServerName: server.Name,
					RemotePath: fmt.Sprintf("/%d", i+1), Status: status,
				}
				ledger.files = append(ledger.files, file)
				ledger.addEvents(file.UUID, 2)
			}
		},
		audited: func(*testing.T) []ingest.AuditEntry { return ledger.audited },
	}
}

func (l conformLedger) addServer(t *testing.T, name string) ingest.Server {
	t.Helper()
	added, err := l.AddServer(t.Context(), ingest.Server{UUID: uuid.NewString(), Name: name, Host: "h", Username: "u", Active: true}.
		WithDefaults(ingest.ServerDefaults{ScanInterval: time.Minute}))
	require.NoError(t, err)
	return added
}

// stored returns the server without the times of its last change and of reading it.
func stored(s ingest.Server) ingest.Server {
	s.ReadAt, s.UpdatedAt = time.Time{}, time.Time{}
	return s
}

func requireKind(t *testing.T, kind ingest.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, ingest.KindOf(err), "%v", err)
}

func (l conformLedger) conformServers(t *testing.T) {
	ctx := t.Context()
	l.addServer(t, "c")
	a := l.addServer(t, "a")
	l.addServer(t, "b")
	for _, key := range []string{"a", a.UUID} {
		found, err := l.ServerByName(ctx, key)
		require.NoError(t, err)
		require.Equal(t, stored(a), stored(found))
		id, err := l.ServerUUID(ctx, key)
		require.NoError(t, err)
		require.Equal(t, a.UUID, id)
	}
	for _, key := range []string{"A", "", a.UUID[:8], uuid.NewString()} {
		_, err := l.ServerByName(ctx, key)
		requireKind(t, ingest.KindMissing, err)
		require.True(t, ingest.IsMissingRow(err))
		_, err = l.ServerUUID(ctx, key)
		require.True(t, ingest.IsMissingRow(err))
	}
	again, err := l.AddServer(ctx, a)
	require.NoError(t, err, "the response of the first call may be lost")
	require.Equal(t, stored(a), stored(again))
	taken := a
	taken.UUID = uuid.NewString()
	_, err = l.AddServer(ctx, taken)
	requireKind(t, ingest.KindConflict, err)

	for _, page := range []struct {
		after string
		limit int
		want  string
	}{{"", 2, "a b"}, {"b", 2, "c"}, {"", 0, "a b c"}, {"c", 2, ""}, {"aa", 1, "b"}} {
		servers, err := l.Servers(ctx, page.after, page.limit)
		require.NoError(t, err)
		var names []string
		for _, server := range servers {
			names = append(names, server.Name)
		}
		require.Equal(t, page.want, strings.Join(names, " "), "%d after %q", page.limit, page.after)
	}
}

func (l conformLedger) conformServerChanges(t *testing.T) {
	ctx := t.Context()
	acme := l.addServer(t, "acme")
	l.addServer(t, "globex")
	edit := func(change func(*ingest.Server) error) (ingest.Server, error) {
		return l.EditServer(ctx, acme.UUID, func(s ingest.Server) (ingest.Server, error) { err := change(&s); return s, err })
	}
	now := func() ingest.Server {
		server, err := l.ServerByName(ctx, acme.UUID)
		require.NoError(t, err)
		return stored(server)
	}
	edited, err := edit(func(s *ingest.Server) error { s.MaxParallel, s.Name = 7, "acme-2"; return nil })
	require.NoError(t, err)
	require.Equal(t, 7, edited.MaxParallel)
	require.Equal(t, stored(edited), now())
	refused := errors.New("refused")
	_, err = edit(func(s *ingest.Server) error { s.MaxParallel = 8; return refused })
	require.ErrorIs(t, err, refused)
	require.Equal(t, stored(edited), now())
	_, err = edit(func(s *ingest.Server) error { s.Name = "globex"; return nil })
	requireKind(t, ingest.KindConflict, err)
	require.Equal(t, stored(edited), now())

	_, err = edit(func(s *ingest.Server) error { s.State, s.LastError = ingest.ServerSuspended, "wrong key"; return nil })
	require.NoError(t, err)
	require.Equal(t, ingest.ServerSuspended, now().State)
	require.NoError(t, l.PauseServer(ctx, acme.UUID))
	require.False(t, now().Active)
	require.NoError(t, l.PauseServer(ctx, acme.UUID), "a repeated change is no error")
	require.NoError(t, l.ResumeServer(ctx, acme.UUID))
	require.Equal(t, stored(edited), now(), "a resumed server is not suspended")

	unknown := uuid.NewString()
	unchanged := func(ingest.Server) (ingest.Server, error) { panic("edits a server that does not exist") }
	_, err = l.EditServer(ctx, unknown, unchanged)
	requireKind(t, ingest.KindMissing, err)
	requireKind(t, ingest.KindMissing, l.PauseServer(ctx, unknown))
	requireKind(t, ingest.KindMissing, l.ResumeServer(ctx, unknown))
}

func (l conformLedger) conformFiles(t *testing.T) {
	acme := l.addServer(t, "with-files")
	l.addFiles(t, l.addServer(t, "with-others"))
	l.addFiles(t, acme)
	files, err := l.Files(t.Context(), ingest.FileFilter{Server: "with-files"})
	require.NoError(t, err)
	require.Len(t, files, 5)
	t.Run("pages", func(t *testing.T) { l.conformPages(t, files) })
	t.Run("find", func(t *testing.T) {
		for _, prefix := range []string{files[0].UUID, files[0].UUID[:18]} {
			found, err := l.FindFile(t.Context(), prefix)
			require.NoError(t, err)
			require.Equal(t, files[0], found)
		}
		_, err := l.FindFile(t.Context(), uuid.NewString())
		requireKind(t, ingest.KindMissing, err)
		_, err = l.FindFile(t.Context(), files[0].UUID[:3])
		requireKind(t, ingest.KindInvalid, err)
	})
	t.Run("events", func(t *testing.T) {
		events, err := l.Events(t.Context(), files[3].UUID, 0, 0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(events), 2)
		for i, event := range events {
			page, err := l.Events(t.Context(), files[3].UUID, event.ID-1, 1)
			require.NoError(t, err)
			require.Equal(t, events[i:i+1], page)
		}
		rest, err := l.Events(t.Context(), files[3].UUID, events[len(events)-1].ID, 1)
		require.NoError(t, err)
		require.Empty(t, rest)
		_, err = l.Events(t.Context(), uuid.NewString(), 0, 1)
		requireKind(t, ingest.KindMissing, err)
	})
	t.Run("skip", func(t *testing.T) { l.conformSkip(t, files) })
}

// conformPages checks pages of the files of server with-files.
func (l conformLedger) conformPages(t *testing.T, files []ingest.File) {
	ctx, inError := t.Context(), []ingest.Status{ingest.StatusError}
	for name, c := range map[string]struct {
		filter ingest.FileFilter
		want   []ingest.File
		next   int64
		count  int64
	}{
		"all":      {ingest.FileFilter{}, files, 0, 5},
		"first":    {ingest.FileFilter{Limit: 2}, files[:2], files[1].ID, 5},
		"last":     {ingest.FileFilter{Limit: 2, AfterID: files[2].ID}, files[3:], 0, 2},
		"past":     {ingest.FileFilter{Limit: 2, AfterID: files[4].ID}, nil, 0, 0},
		"in error": {ingest.FileFilter{Statuses: inError, Limit: 3}, files[:3], 0, 3},
		"uuids":    {ingest.FileFilter{UUIDs: []string{files[4].UUID, files[0].UUID}}, []ingest.File{files[0], files[4]}, 0, 2},
		"none":     {ingest.FileFilter{Statuses: []ingest.Status{ingest.StatusCompleted}}, nil, 0, 0},
		"both":     {ingest.FileFilter{UUIDs: []string{files[4].UUID, files[0].UUID}, Statuses: inError}, files[:1], 0, 1},
	} {
		c.filter.Server = "with-files"
		got, err := l.Files(ctx, c.filter)
		require.NoError(t, err, name)
		require.Equal(t, c.want, append([]ingest.File(nil), got...), name)
		n, err := l.CountMatching(ctx, c.filter)
		require.NoError(t, err, name)
		require.Equal(t, c.count, n, name)
		page, err := l.FilesPage(ctx, c.filter)
		require.NoError(t, err, name)
		require.Equal(t, c.want, append([]ingest.File(nil), page.Items...), name)
		require.Equal(t, c.next, page.Next, name)
	}
	unknown := ingest.FileFilter{Server: "unknown"}
	_, err := l.Files(ctx, unknown)
	requireKind(t, ingest.KindMissing, err)
	_, err = l.FilesPage(ctx, unknown)
	requireKind(t, ingest.KindMissing, err)
	_, err = l.CountMatching(ctx, unknown)
	requireKind(t, ingest.KindMissing, err)
}

func (l conformLedger) conformSkip(t *testing.T, files []ingest.File) {
	for i, want := range []bool{3: true, 4: true} {
		by := ingest.OperatorAction{Action: ingest.ActionSkip, Actor: "ann", Reason: "x", Key: uuid.NewString()}
		for range 2 { // the response of the first call may be lost
			skipped, err := l.SkipNotStarted(t.Context(), files[i], by)
			require.NoError(t, err)
			require.Equal(t, want, skipped, files[i].Status)
		}
		now, err := l.FindFile(t.Context(), files[i].UUID)
		require.NoError(t, err)
		require.Equal(t, want, now.Status == ingest.StatusSkipped)
		by.Key = uuid.NewString()
		skipped, err := l.SkipNotStarted(t.Context(), files[i], by)
		require.NoError(t, err)
		require.False(t, skipped, "another action comes too late")
	}
}

func (l conformLedger) conformAuditLog(t *testing.T) {
	ctx := t.Context()
	for range 2 {
		for _, target := range []string{"a", "b"} {
			require.NoError(t, l.Record(ctx, ingest.AuditEntry{Key: uuid.NewSHA1(uuid.Nil, []byte(target)).String(), Actor: "ann", Role: ingest.RoleAdmin, Action: "x", Target: target}))
		}
	}
	entries := l.audited(t)
	require.Len(t, entries, 2)
	require.Equal(t, "a b", entries[0].Target+" "+entries[1].Target)
	require.NoError(t, l.CompleteEntry(ctx, entries[0].Key, ingest.ActionFailed, "first"))
	require.NoError(t, l.CompleteEntry(ctx, entries[0].Key, ingest.ActionDone, ""))
	require.NoError(t, l.CompleteEntry(ctx, uuid.NewString(), ingest.ActionDone, ""))
	entries = l.audited(t)
	require.Len(t, entries, 2)
	require.Equal(t, ingest.ActionFailed, entries[0].Outcome, "the first outcome counts")
	require.Equal(t, "first", entries[0].Error)
	require.Equal(t, ingest.ActionUnknown, entries[1].Outcome)
}

func (l conformLedger) conformCanary(t *testing.T) {
	ctx := t.Context()
	value, err := l.KeysetCanary(ctx)
	require.NoError(t, err)
	require.Nil(t, value)
	for _, c := range []struct{ earlier, sealed, kept string }{
		{"gone", "a", "a"}, {"", "b", "a"}, {"b", "c", "a"}, {"a", "d", "d"}, {"a", "e", "d"},
	} {
		kept, err := l.KeepKeysetCanary(ctx, []byte(c.earlier), []byte(c.sealed))
		require.NoError(t, err)
		require.Equal(t, c.kept, string(kept))
		kept, err = l.KeysetCanary(ctx)
		require.NoError(t, err)
		require.Equal(t, c.kept, string(kept))
	}
}
