package services

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"stevedore/migrations"
)

const (
	// databaseVariable holds the URL of the server on which tests create their
	// databases; its user needs CREATEDB.
	databaseVariable = "STEVEDORE_DATABASE_URL"
	// templateLock is the advisory lock for creating the template: the test binaries of
	// several packages run concurrently.
	templateLock = 7305514217
	// databaseTimeout is long because the machine runs all tests.
	databaseTimeout = 2 * time.Minute
)

// template creates the template database once per process.
var template = sync.OnceValues(makeTemplate)

// Database returns the URL of an empty database with the current schema. It is dropped
// when the test ends. Without a server the test fails; under -short it is skipped.
func Database(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL: not under -short")
	}
	server := os.Getenv(databaseVariable)
	if server == "" {
		t.Fatalf("%s is not set: run `make test`", databaseVariable)
	}
	from, err := template()
	require.NoError(t, err, "create the template database")
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	require.NoError(t, administer("CREATE DATABASE "+name+" TEMPLATE "+from))
	t.Cleanup(func() {
		if err := administer("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	dsn, err := withDatabase(server, name)
	require.NoError(t, err)
	return dsn
}

// Connections describes the connections to the database with the application_name.
func Connections(t testing.TB, dsn, application string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT 'a connection to the database: ' || coalesce(state, '') || ' ' || left(query, 80)
		FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, application)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

// administer runs one statement on the default database of the server.
func administer(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, os.Getenv(databaseVariable))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: run `make test`: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// makeTemplate returns the name of a database with the current schema. The name contains
// the digest of the migrations, so that all processes share one per schema.
func makeTemplate() (name string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	server := os.Getenv(databaseVariable)
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", fmt.Errorf("connect to PostgreSQL: run `make test`: %w", err)
	}
	// Closing the connection releases the lock.
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(templateLock)); err != nil {
		return "", fmt.Errorf("lock the template: %w", err)
	}
	digest, err := schemaDigest()
	if err != nil {
		return "", err
	}
	name = "stevedore_template_" + digest
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		return name, err
	}
	return name, buildTemplate(ctx, conn, server, name)
}

// buildTemplate migrates a draft and renames it, so that a killed run leaves no
// incomplete template.
func buildTemplate(ctx context.Context, conn *pgx.Conn, server, name string) error {
	draft := name + "_draft"
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + draft + " WITH (FORCE)", "CREATE DATABASE " + draft} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare the template: %w", err)
		}
	}
	dsn, err := withDatabase(server, draft)
	if err != nil {
		return err
	}
	if err := migrate(ctx, dsn); err != nil {
		return fmt.Errorf("migrate the template: %w", err)
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+draft+" RENAME TO "+name)
	return err
}

func migrate(ctx context.Context, dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func schemaDigest() (string, error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// withDatabase returns the server's URL with another database.
func withDatabase(server, database string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("%s must be a URL, postgres://user:password@host:port/database", databaseVariable)
	}
	u.Path = "/" + database
	query := u.Query()
	query.Set("connect_timeout", strconv.Itoa(int(databaseTimeout.Seconds())))
	u.RawQuery = query.Encode()
	return u.String(), nil
}
