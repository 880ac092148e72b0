package store

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"stevedore/internal/ingest"
	"stevedore/migrations"
)

// Waiting for another process that migrates: how often to look and how many times.
const (
	lockPollSeconds = 1
	lockPolls       = 300
)

// Migrate brings the schema up to what this program needs. Several processes
// may call it at once: they take turns.
func Migrate(ctx context.Context, dsn string) error {
	return withProvider(ctx, dsn, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// Down takes the whole schema away with all data. It is for tests.
func Down(ctx context.Context, dsn string) error {
	return withProvider(ctx, dsn, func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, 0)
		return err
	})
}

func withProvider(ctx context.Context, dsn string, use func(*goose.Provider) error) error {
	// The pool's connection is checked first, because its errors are explained.
	s, err := New(ctx, Config{DatabaseURL: dsn, MaxConns: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPollSeconds, lockPolls))
	if err != nil {
		return fmt.Errorf("make the migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if err := use(provider); err != nil {
		return s.explain("migrate the database", err)
	}
	return nil
}

// appliedVersion reads goose's own table; a version taken down has no row there.
const appliedVersion = `SELECT coalesce(max(version_id) FILTER (WHERE is_applied), 0) FROM goose_db_version`

// SchemaCurrent returns nil when the schema is at least the one this program
// was built for, and otherwise an error that says what to do. A newer schema
// is fine: during an upgrade old processes go on for a while.
func (s *Store) SchemaCurrent(ctx context.Context) error {
	needed, err := latestMigration()
	if err != nil {
		return err
	}
	var applied int64
	err = s.retry(ctx, "read the schema's version", func() error {
		return s.pool.QueryRow(ctx, appliedVersion).Scan(&applied)
	})
	if err != nil {
		return err
	}
	if applied < needed {
		return ingest.Errorf(ingest.KindMissing, "the database schema is at version %d and this program needs %d: %s", applied, needed, adviceMigrate)
	}
	return nil
}

func latestMigration() (latest int64, err error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list the migrations: %w", err)
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		latest = max(latest, version)
	}
	return latest, nil
}
