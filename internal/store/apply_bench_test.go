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
	"stevedore/internal/test/services"
)

// BenchmarkApply completes one file per op, six changes each, with one caller and
// with 32 in parallel. It reports the changes per second and the commits per change.
func BenchmarkApply(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchApply(b, callers) })
	}
}

func benchApply(b *testing.B, callers int) {
	dsn := services.Database(b)
	ctx := context.Background()
	db, err := pgx.Connect(ctx, dsn)
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close(ctx) })
	var ways [][]ingest.Change
	for _, file := range benchFiles(b, dsn, b.N) {
		ways = append(ways, way(file))
	}
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

// benchFiles returns n ready files of a new ledger.
func benchFiles(b *testing.B, dsn string, n int) (files []ingest.File) {
	b.Helper()
	ctx := context.Background()
	s, err := store.New(ctx, store.Config{DatabaseURL: dsn})
	require.NoError(b, err)
	defer s.Close()
	server, err := s.AddServer(ctx, ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u", Active: true, MaxParallel: 64})
	require.NoError(b, err)
	_, err = s.Observe(ctx, server.UUID, "schedule", paths("/in", n))
	require.NoError(b, err)
	_, _, err = s.Promote(ctx, ingest.Server{UUID: server.UUID})
	require.NoError(b, err)
	for after := int64(0); len(files) < n; {
		page, err := s.Files(ctx, ingest.FileFilter{AfterID: after, Limit: 1000})
		require.NoError(b, err)
		files = append(files, page...)
		after = files[len(files)-1].ID
	}
	return files
}

// BenchmarkSmallFiles moves one small file per op through the ledger: a slot, and
// the three changes of the memory mode, with 32 files in flight.
func BenchmarkSmallFiles(b *testing.B) {
	dsn := services.Database(b)
	ctx := context.Background()
	files := benchFiles(b, dsn, b.N)
	s, err := store.New(ctx, store.Config{DatabaseURL: dsn})
	require.NoError(b, err)
	b.Cleanup(s.Close)
	fence, err := s.RegisterDispatcher(ctx, files[0].ServerUUID)
	require.NoError(b, err)
	b.ResetTimer()
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(32)
	for done := 0; done < b.N; {
		r, err := s.ReserveSlots(ctx, files[0].ServerUUID, fence, 32)
		require.NoError(b, err)
		for _, slot := range r.Slots {
			group.Go(func() error { return moveSmall(ctx, s, slot) })
		}
		done += len(r.Slots)
	}
	require.NoError(b, group.Wait())
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "files/s")
}

func moveSmall(ctx context.Context, s *store.Store, slot ingest.Slot) error {
	f, err := s.ClaimAndApply(ctx, ingest.Started(slot.File, ingest.ModeMemory, slot.Number, ""))
	if err != nil {
		return err
	}
	object := ingest.Object{Bucket: "files", Key: ingest.ObjectKey(f), ETag: "e"}
	fetched := ingest.Fetched{Mode: ingest.ModeMemory, Size: f.Size, SHA256: fmt.Sprintf("%064x", f.ID)}
	if err := s.Apply(ctx, ingest.Transferred(f, fetched, "transfer", object)); err != nil {
		return err
	}
	return s.Apply(ctx, ingest.Completed(f, ingest.Receipt{Queue: "q", MessageID: f.UUID}, false))
}

func commits(b *testing.B, db *pgx.Conn) (n int64) {
	b.Helper()
	require.NoError(b, db.QueryRow(context.Background(),
		"SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}
