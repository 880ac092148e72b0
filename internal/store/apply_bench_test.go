package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/testenv"
)

// BenchmarkApply completes one file per op, six changes each, with one caller and
// with 32 in parallel. It reports the changes per second and the commits per change.
func BenchmarkApply(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchApply(b, callers) })
	}
}

func benchApply(b *testing.B, callers int) {
	dsn := testenv.Database(b)
	ctx := context.Background()
	db, err := pgx.Connect(ctx, dsn)
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close(ctx) })
	ways := benchWays(b, dsn, b.N)
	before := commits(b, db)
	s, err := store.New(ctx, store.Config{DatabaseURL: dsn})
	require.NoError(b, err)
	b.ResetTimer()
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(callers)
	changes := 0
	for _, way := range ways {
		changes += len(way)
		group.Go(func() error {
			for _, change := range way {
				if err := s.Apply(ctx, change); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, group.Wait())
	took := time.Since(began)
	b.StopTimer()
	s.Close() // connections that end report their commits
	time.Sleep(100 * time.Millisecond)
	b.ReportMetric(float64(commits(b, db)-before)/float64(changes), "commits/change")
	b.ReportMetric(float64(changes)/took.Seconds(), "changes/s")
}

// benchWays returns the changes that complete each of n ready files.
func benchWays(b *testing.B, dsn string, n int) (ways [][]ingest.Change) {
	b.Helper()
	ctx := context.Background()
	s, err := store.New(ctx, store.Config{DatabaseURL: dsn})
	require.NoError(b, err)
	defer s.Close()
	server, err := s.AddServer(ctx, ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u", Active: true})
	require.NoError(b, err)
	_, err = s.Observe(ctx, server.UUID, "schedule", paths("/in", n))
	require.NoError(b, err)
	_, _, err = s.Promote(ctx, ingest.Server{UUID: server.UUID})
	require.NoError(b, err)
	for after := int64(0); len(ways) < n; {
		page, err := s.Files(ctx, ingest.FileFilter{AfterID: after, Limit: 1000})
		require.NoError(b, err)
		for _, f := range page {
			ways, after = append(ways, way(f)), f.ID
		}
	}
	return ways
}

func commits(b *testing.B, db *pgx.Conn) (n int64) {
	b.Helper()
	require.NoError(b, db.QueryRow(context.Background(),
		"SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}
