package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

func TestSchemaGoesDownAndUpAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	const objects = `
		SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relname NOT LIKE 'goose%'`
	const functions = `SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'`
	count := func(query string) (n int) {
		require.NoError(t, b.db.QueryRow(ctx, query).Scan(&n))
		return n
	}
	require.NoError(t, b.SchemaCurrent(ctx))
	before := count(objects)

	require.NoError(t, store.Down(ctx, b.dsn))
	assert.Zero(t, count(objects))
	assert.Zero(t, count(functions))
	requireKind(t, ingest.KindMissing, b.SchemaCurrent(ctx), "run `stevedore migrate`")
	_, err := b.File(ctx, b.server.UUID)
	requireKind(t, ingest.KindMissing, err, "run `stevedore migrate`")

	b.exec(t, "DROP TABLE goose_db_version")
	requireKind(t, ingest.KindMissing, b.SchemaCurrent(ctx), "run `stevedore migrate`")

	var several errgroup.Group
	for range 3 {
		several.Go(func() error { return store.Migrate(ctx, b.dsn) })
	}
	require.NoError(t, several.Wait())
	assert.Equal(t, before, count(objects))
	require.NoError(t, b.SchemaCurrent(ctx))
	require.NoError(t, store.Migrate(ctx, b.dsn), "migrating a current schema changes nothing")
}

// A database with the migrations of an older release is refused with advice, and not changed.
func TestSchemaOfAnOlderLineageIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.exec(t, "UPDATE goose_db_version SET version_id = version_id - 100 WHERE version_id > 0")
	requireKind(t, ingest.KindConflict, b.SchemaCurrent(ctx), "create an empty database")
	requireKind(t, ingest.KindConflict, store.Migrate(ctx, b.dsn), "create an empty database")
	b.exec(t, "UPDATE goose_db_version SET version_id = version_id + 100 WHERE version_id > 0")
	b.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)")
	require.NoError(t, b.SchemaCurrent(ctx), "a newer schema is fine")
}

func TestDatabaseHoldsTheStateMachineOfTheDomain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows, err := b.db.Query(t.Context(), "SELECT from_status, to_status FROM file_status_transitions")
	require.NoError(t, err)
	var pairs [][2]ingest.Status
	var from, to ingest.Status
	_, err = pgx.ForEachRow(rows, []any{&from, &to}, func() error {
		pairs = append(pairs, [2]ingest.Status{from, to})
		return nil
	})
	require.NoError(t, err)
	require.ElementsMatch(t, ingest.Transitions(), pairs)
}

func TestDatabaseRefusesOtherTransitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	for _, from := range ingest.Statuses {
		for _, to := range ingest.Statuses {
			err := b.try(ctx, `
				INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, status)
				VALUES ($1, '/x', '/x', 'x', 1, now(), $2)`, []any{b.server.UUID, string(from)},
				"UPDATE files SET status = $1", []any{string(to)})
			// Only an operator can have a completed file ingested again, not a step.
			if from.CanBecome(to) || slices.Contains(ingest.Transitions(), [2]ingest.Status{from, to}) {
				assert.NoError(t, err, "%s -> %s", from, to)
			} else {
				assert.ErrorContains(t, err, "cannot go from "+string(from)+" to "+string(to))
			}
		}
	}
}

// try runs two statements, rolls both back and returns the error of the second.
func (b *testBundle) try(ctx context.Context, first string, firstArgs []any, second string, secondArgs []any) error {
	tx, err := b.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, first, firstArgs...); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, second, secondArgs...)
	return err
}

func TestDatabaseKeepsItsInvariants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.ready(t, "/x")
	for statement, refusal := range map[string]string{
		"UPDATE file_events SET details = '{}'":             "append-only: UPDATE refused",
		"UPDATE file_events SET details = '{}' WHERE false": "append-only: UPDATE refused",
		"DELETE FROM file_events":                           "append-only: DELETE refused",
		"TRUNCATE file_events":                              "append-only: TRUNCATE refused",
		"TRUNCATE files CASCADE":                            "append-only: TRUNCATE refused",
		"DELETE FROM files":                                 "file_events",
		"DELETE FROM sftp_servers":                          "violates foreign key",
		"UPDATE files SET status = 'lost'":                  "files_status",
		"UPDATE files SET status = 'completed'":             "cannot go from ready to completed",
		"UPDATE files SET transfer_mode = 'by pigeon'":      "files_transfer_mode",
		"UPDATE sftp_servers SET transfer = 'memory'":       "sftp_servers_transfer",
		"INSERT INTO slots (file_id, server_uuid) SELECT 99, server_uuid FROM sftp_servers": "violates foreign key",
		"UPDATE files SET size_bytes = -1":                                                  "files_size",
		"UPDATE files SET completed_at = now()":                                             "files_completed_at",
		"UPDATE sftp_servers SET port = 0":                                                  "sftp_servers_port",
		"UPDATE sftp_servers SET port = 65536":                                              "sftp_servers_port",
		"UPDATE sftp_servers SET max_parallel = 257":                                        "sftp_servers_max_parallel",
		"UPDATE sftp_servers SET max_parallel = 0":                                          "sftp_servers_max_parallel",
		"UPDATE sftp_servers SET state = 'sleepy'":                                          "sftp_servers_state",
		"UPDATE sftp_servers SET after_ingest = 'burn'":                                     "sftp_servers_after_ingest",
		"UPDATE sftp_servers SET name = 'a b'":                                              "sftp_servers_name",
		"UPDATE sftp_servers SET settle = '-1 second'":                                      "sftp_servers_settle",
		"INSERT INTO file_events (file_id, event_type) VALUES (1, '')":                      "file_events_type",
		"INSERT INTO file_events (file_id, event_type) VALUES (1, 'settled')":               "file_events_fact",
		"INSERT INTO file_events (file_id, event_type) VALUES (99, 'settled')":              "violates foreign key",
		"INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime) " +
			"SELECT server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime FROM files": "files_version",
	} {
		_, err := b.db.Exec(ctx, statement)
		assert.ErrorContains(t, err, refusal, statement)
	}
}

func TestRowTimesBelongToTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.ready(t, "/x")
	b.exec(t, "UPDATE files SET created_at = '1999-01-01', updated_at = '1999-01-01'")
	b.exec(t, "UPDATE sftp_servers SET created_at = '1999-01-01', updated_at = '1999-01-01'")
	after := b.only(t)
	assert.Equal(t, before.CreatedAt, after.CreatedAt)
	assert.True(t, after.UpdatedAt.After(before.UpdatedAt))
	server, err := b.Server(t.Context(), b.server.UUID)
	require.NoError(t, err)
	assert.Equal(t, b.server.CreatedAt, server.CreatedAt)
	assert.True(t, server.UpdatedAt.After(b.server.UpdatedAt))
}

func TestFixedColumnsAreThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for table, names := range map[string]string{
		"sftp_servers": "id server_uuid name host port username password_encrypted private_key_encrypted host_keys is_active created_at updated_at",
		"files": "id file_uuid server_uuid remote_path filename size_bytes mtime status file_hash hash_algo error_message " +
			"minio_object_key created_at updated_at",
		"file_events": "id file_id timestamp event_type details",
		"scans":       "id server_uuid seen new settling rejected errors duration",
	} {
		rows, err := b.db.Query(t.Context(), "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1", table)
		require.NoError(t, err)
		columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		for _, name := range strings.Fields(names) {
			assert.True(t, slices.Contains(columns, name), "%s.%s", table, name)
		}
	}
}
