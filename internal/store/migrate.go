package store

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"stevedore/internal/ingest"
	"stevedore/migrations"
)

// The polling interval and the number of polls while another process migrates.
const (
	lockPollSeconds = 1
	lockPolls       = 300
)

// Migrate migrates the schema to the version of this program. Concurrent calls are serialized.
func Migrate(ctx context.Context, dsn string) error {
	return withProvider(ctx, dsn, func(s *Store, p *goose.Provider) error {
		_, _, err := s.schema(ctx)
		if err != nil && !ingest.IsKind(err, ingest.KindMissing) { // missing: no migration has run
			return err
		}
		_, err = p.Up(ctx)
		return err
	})
}

// Down drops the whole schema with all data. It is for tests.
func Down(ctx context.Context, dsn string) error {
	return withProvider(ctx, dsn, func(_ *Store, p *goose.Provider) error {
		_, err := p.DownTo(ctx, 0)
		return err
	})
}

func withProvider(ctx context.Context, dsn string, use func(*Store, *goose.Provider) error) error {
	// New connects first, because its errors are explained.
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
	if err := use(s, provider); err != nil {
		return s.explain("migrate the database", err)
	}
	return nil
}

// appliedVersions reads goose's own table; a reverted version has no row there.
const appliedVersions = `SELECT coalesce(array_agg(version_id) FILTER (WHERE is_applied AND version_id > 0), '{}') FROM goose_db_version`

// SchemaCurrent returns nil if the schema is at least that of this program, and otherwise an
// error with advice. A newer schema is accepted: during an upgrade old processes continue for a
// while.
func (s *Store) SchemaCurrent(ctx context.Context) error {
	applied, missing, err := s.schema(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	return ingest.Errorf(ingest.KindMissing, "the database schema is at version %d and this program needs %d: %s",
		slices.Max(append(applied, 0)), slices.Max(missing), adviceMigrate)
}

// firstVersion is the number of the first migration. Releases before 0.3 used lower numbers.
const firstVersion = 101

// schema returns the applied versions and the missing ones. The schema of an incompatible
// older release is a conflict.
func (s *Store) schema(ctx context.Context) (applied, missing []int64, err error) {
	needed, err := neededVersions()
	if err != nil {
		return nil, nil, err
	}
	err = s.retry(ctx, "read the schema's version", func() error {
		return s.pool.QueryRow(ctx, appliedVersions).Scan(&applied)
	})
	if slices.ContainsFunc(applied, func(v int64) bool { return v < firstVersion }) {
		return nil, nil, ingest.Errorf(ingest.KindConflict,
			"the database has the schema of an older release, which cannot be migrated to this one: create an empty database and set STEVEDORE_DATABASE_URL to it")
	}
	missing = slices.DeleteFunc(needed, func(v int64) bool { return slices.Contains(applied, v) })
	return applied, missing, err
}

func neededVersions() (versions []int64, err error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		versions = append(versions, version)
	}
	return versions, nil
}
