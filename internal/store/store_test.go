package store_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// The store implements the interfaces of the activities.
var (
	_ activities.Ledger  = (*store.Store)(nil)
	_ activities.Catalog = (*store.Store)(nil)
)

// testBundle is a store on a separate database, with one server.
type testBundle struct {
	*store.Store
	dsn string
	// db bypasses the store, to shift times and read columns.
	db     *pgxpool.Pool
	server ingest.Server
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	ctx := t.Context()
	dsn := services.Database(t)
	s, err := store.New(ctx, store.Config{DatabaseURL: dsn, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	db, err := pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	b := &testBundle{Store: s, dsn: dsn, db: db}
	b.server = b.addServer(t, "acme")
	return b
}

func (b *testBundle) addServer(t require.TestingT, name string) ingest.Server {
	server, err := b.AddServer(context.Background(), ingest.Server{
		Name: name, Host: "sftp.example.com", Username: "u", Active: true, Settle: 10 * time.Second, ScanInterval: time.Minute,
	})
	require.NoError(t, err)
	return server
}

// epoch is the modification time of most files in these tests.
var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func seen(path string, size int64) ingest.Observation {
	return ingest.Observation{Path: path, Size: size, ModTime: epoch}
}

func (b *testBundle) observe(t *testing.T, observations ...ingest.Observation) ingest.ScanCounts {
	t.Helper()
	counts, err := b.Observe(t.Context(), b.server.UUID, "schedule", observations)
	require.NoError(t, err)
	return counts
}

// latestScan returns the newest scan of the server.
func (b *testBundle) latestScan(t *testing.T) ingest.Scan {
	t.Helper()
	scans, err := b.ScansBefore(t.Context(), b.server.UUID, 0, 1)
	require.NoError(t, err)
	require.Len(t, scans, 1)
	return scans[0]
}

// pass advances the time of all files.
func (b *testBundle) pass(t *testing.T, d time.Duration) {
	t.Helper()
	b.exec(t, "UPDATE files SET stable_since = stable_since - $1::interval, last_seen_at = last_seen_at - $1::interval", d)
}

func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *testBundle) promote(t *testing.T, settle time.Duration) (promoted, settling int64) {
	t.Helper()
	promoted, settling, err := b.Promote(t.Context(), ingest.Server{UUID: b.server.UUID, Settle: settle})
	require.NoError(t, err)
	return promoted, settling
}

// files returns the server's files ordered by id.
func (b *testBundle) files(t *testing.T) []ingest.File {
	t.Helper()
	files, err := b.Files(t.Context(), ingest.FileFilter{Server: b.server.UUID, Limit: 1000})
	require.NoError(t, err)
	return files
}

// only returns the single file.
func (b *testBundle) only(t *testing.T) ingest.File {
	t.Helper()
	files := b.files(t)
	require.Len(t, files, 1)
	return files[0]
}

// ready records one file and makes it ready.
func (b *testBundle) ready(t *testing.T, path string) ingest.File {
	t.Helper()
	b.observe(t, seen(path, 10))
	b.promote(t, 0)
	files := b.files(t)
	file := files[len(files)-1]
	require.Equal(t, ingest.StatusReady, file.Status)
	return file
}

// walk moves the file through the statuses.
func (b *testBundle) walk(t *testing.T, fileUUID string, way ...ingest.Status) {
	t.Helper()
	for _, to := range way {
		require.NoError(t, b.Apply(t.Context(), ingest.Change{FileUUID: fileUUID, To: to}), "to %s", to)
	}
}

// eventTypes returns the types of the file's events in order, and the details of the last.
func (b *testBundle) eventTypes(t *testing.T, fileUUID string) (types []ingest.EventType, last map[string]any) {
	t.Helper()
	events, err := b.Events(t.Context(), fileUUID, 0, 1000)
	require.NoError(t, err)
	for _, e := range events {
		types, last = append(types, e.Type), e.Details
		require.WithinDuration(t, time.Now(), e.Timestamp, time.Hour)
	}
	return types, last
}

func requireKind(t *testing.T, kind ingest.Kind, err error, text string) {
	t.Helper()
	require.ErrorContains(t, err, text)
	require.Equal(t, kind, ingest.KindOf(err), err.Error())
}

func TestNewErrorsOmitThePassword(t *testing.T) {
	t.Parallel()
	closed := fmt.Sprintf("127.0.0.1:%d", services.FreePort(t))
	for name, try := range map[string]struct{ url, text string }{
		"no server":    {"postgres://u:hunter2@" + closed + "/d?sslmode=disable", "cannot reach PostgreSQL at " + closed},
		"empty":        {"", "STEVEDORE_DATABASE_URL is not a PostgreSQL URL"},
		"not a URL":    {"postgres://u:hunter2@host:port/d", "STEVEDORE_DATABASE_URL is not a PostgreSQL URL"},
		"not a number": {"host=h port=hunter2", "STEVEDORE_DATABASE_URL is not a PostgreSQL URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := store.New(t.Context(), store.Config{DatabaseURL: try.url})
			require.ErrorContains(t, err, try.text)
			assert.ErrorContains(t, err, "STEVEDORE_DATABASE_URL")
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestNewReportsAMissingDatabaseOrUser(t *testing.T) {
	t.Parallel()
	dsn := services.Database(t)
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	u.Path = "/no_such_database"
	_, err = store.New(t.Context(), store.Config{DatabaseURL: u.String()})
	requireKind(t, ingest.KindTransient, err, `has no database "no_such_database"`)
	u.User = url.UserPassword("no_such_user", "hunter2")
	_, err = store.New(t.Context(), store.Config{DatabaseURL: u.String()})
	require.ErrorContains(t, err, `refused user "no_such_user"`)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestCancelledCallsStopImmediately(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Ping(ctx), context.Canceled)
	_, err := b.Claim(ctx, b.server.UUID)
	require.ErrorIs(t, err, context.Canceled)
}

func TestUnknownIDsAreMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	for _, id := range []string{"0192aa00-0000-7000-8000-000000000001", "not-a-uuid", "", "'; DROP TABLE files; --"} {
		for name, call := range map[string]func() error{
			"File":    func() error { _, err := b.File(ctx, id); return err },
			"Claim":   func() error { _, err := b.Claim(ctx, id); return err },
			"Apply":   func() error { return b.Apply(ctx, ingest.Change{FileUUID: id}) },
			"Events":  func() error { _, err := b.Events(ctx, id, 0, 0); return err },
			"Server":  func() error { _, err := b.Server(ctx, id); return err },
			"ByName":  func() error { _, err := b.ServerByName(ctx, id); return err },
			"Edit":    func() error { return b.repair(t, id, func(*ingest.Server) {}) },
			"Observe": func() error { _, err := b.Observe(ctx, id, "s", []ingest.Observation{seen("/a", 1)}); return err },
			"Start":   func() error { _, err := b.StartScan(ctx, id, "k"); return err },
			"Finish":  func() error { return b.FinishScan(ctx, ingest.ScanResult{ServerUUID: id}) },
		} {
			require.Equal(t, ingest.KindMissing, ingest.KindOf(call()), "%s(%q): %v", name, id, call())
		}
	}
}

// paths returns n different paths with a prefix.
func paths(prefix string, n int) []ingest.Observation {
	all := make([]ingest.Observation, n)
	for i := range all {
		all[i] = seen(fmt.Sprintf("%s/%06d.csv", strings.TrimSuffix(prefix, "/"), i), int64(i))
	}
	return all
}
