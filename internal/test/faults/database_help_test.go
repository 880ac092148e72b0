package faults_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/test/sandbox"
)

// databaseOf returns the direct URL of the test's database, even if the worker uses a
// proxy.
func databaseOf(h *sandbox.Cluster) string {
	for _, setting := range h.Env {
		if dsn, found := strings.CutPrefix(setting, "STEVEDORE_DATABASE_URL="); found {
			return dsn
		}
	}
	return ""
}

// withParam returns the URL with a setting for every session.
func withParam(t *testing.T, h *sandbox.Cluster, name, value string) string {
	t.Helper()
	u, err := url.Parse(databaseOf(h))
	require.NoError(t, err)
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String()
}

// connect returns a connection to the test's database that no fault affects.
func connect(t *testing.T, h *sandbox.Cluster) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(h.Context(t), databaseOf(h))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// awaitBlockedBy waits until a session waits for a lock held by holder.
func awaitBlockedBy(t *testing.T, h *sandbox.Cluster, holder *pgx.Conn) {
	watcher, err := pgx.Connect(h.Context(t), databaseOf(h))
	if !assert.NoError(t, err) {
		return
	}
	defer func() { _ = watcher.Close(h.Context(t)) }()
	assert.Eventually(t, func() bool {
		var blocked bool
		err := watcher.QueryRow(h.Context(t), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))`,
			int32(holder.PgConn().PID())).Scan(&blocked)
		return assert.NoError(t, err) && blocked
	}, sandbox.Timeout, tick, "no session waits for the lock")
}

// setReadOnly makes all new sessions of the test's database read-only, or writable again,
// and ends existing ones except admin.
func setReadOnly(t *testing.T, h *sandbox.Cluster, admin *pgx.Conn, on bool) {
	database := pgx.Identifier{admin.Config().Database}.Sanitize()
	statement := "ALTER DATABASE " + database + " RESET default_transaction_read_only"
	if on {
		statement = "ALTER DATABASE " + database + " SET default_transaction_read_only = on"
	}
	_, err := admin.Exec(h.Context(t), statement)
	assert.NoError(t, err)
	_, err = admin.Exec(h.Context(t), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	assert.NoError(t, err)
}

// queued returns the number of messages in the test's queue.
func queued(t *testing.T, h *sandbox.Cluster) int {
	t.Helper()
	queue, err := h.AMQP.Channel.QueueDeclarePassive(h.AMQP.Queue, true, false, false, false, nil)
	require.NoError(t, err)
	return queue.Messages
}

// useDatabase replaces the ledger of the cluster.
func useDatabase(t *testing.T, h *sandbox.Cluster, dsn string) {
	t.Helper()
	h.UseDatabase(t, dsn)
	h.Cfg.Database.URL = config.URL(dsn)
}

// copyDatabase copies the test's database, which must not be in use, and returns the URL
// of the copy.
func copyDatabase(t *testing.T, h *sandbox.Cluster) string {
	t.Helper()
	h.Store.Close() // a database in use cannot be copied
	target, err := pgx.ParseConfig(databaseOf(h))
	require.NoError(t, err)
	original, backup := target.Database, target.Database+"_backup"
	target.Database = "postgres"
	run := func(statement string) {
		administer(t, target, func(conn *pgx.Conn) error {
			_, err := conn.Exec(context.WithoutCancel(t.Context()), statement)
			return err
		})
	}
	run("CREATE DATABASE " + backup + " TEMPLATE " + original)
	t.Cleanup(func() { run("DROP DATABASE " + backup + " WITH (FORCE)") })
	useDatabase(t, h, databaseOf(h))
	return strings.Replace(databaseOf(h), "/"+original, "/"+backup, 1)
}

// administer runs a statement on its own connection, also during clean-up.
func administer(t *testing.T, target *pgx.ConnConfig, do func(*pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), sandbox.Timeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, target)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	require.NoError(t, do(conn))
}
