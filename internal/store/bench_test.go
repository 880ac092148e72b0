package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/testenv"
)

// benchWorkers apply changes side by side.
const benchWorkers = 8

// withAndWithout runs the benchmark as the schema is, and without what serves
// people only, so that its price is seen.
func withAndWithout(b *testing.B, bench func(b *testing.B, drop string)) {
	const search = "DROP TRIGGER files_named ON files;"
	const statistics = `DROP TRIGGER files_counted_new ON files; DROP TRIGGER files_counted_moved ON files;
		DROP TRIGGER file_events_counted ON file_events;`
	b.Run("all", func(b *testing.B) { bench(b, "") })
	b.Run("without-search", func(b *testing.B) { bench(b, search) })
	b.Run("without-search-and-statistics", func(b *testing.B) { bench(b, search+statistics) })
}

func benchStore(b *testing.B, drop string) (*store.Store, ingest.Server) {
	b.Helper()
	dsn := testenv.Database(b)
	db, err := pgx.Connect(b.Context(), dsn)
	require.NoError(b, err)
	_, err = db.Exec(b.Context(), drop)
	require.NoError(b, err)
	require.NoError(b, db.Close(b.Context()))
	s, err := store.New(b.Context(), store.Config{DatabaseURL: dsn, MaxConns: benchWorkers})
	require.NoError(b, err)
	b.Cleanup(s.Close)
	server, err := s.AddServer(b.Context(), ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u", Active: true})
	require.NoError(b, err)
	return s, server
}

// way is what a worker records of a file that meets no trouble.
func way(f ingest.File) []ingest.Change {
	hash, algo, bucket, key := fmt.Sprintf("%064x", f.ID), "sha256", "files", ingest.ObjectKey(f)
	step := func(to ingest.Status, event ingest.EventType) ingest.Change {
		return ingest.Change{FileUUID: f.UUID, To: to, Events: []ingest.Event{{Type: event, Details: map[string]any{"server": "acme"}}}}
	}
	changes := []ingest.Change{
		step(ingest.StatusDownloading, ingest.EventDownloadStarted), step(ingest.StatusDownloaded, ingest.EventDownloaded),
		step(ingest.StatusVerified, ingest.EventVerified), step(ingest.StatusUploading, ingest.EventUploadStart),
		step(ingest.StatusUploaded, ingest.EventUploaded), step(ingest.StatusCompleted, ingest.EventNotified),
	}
	changes[1].Set = ingest.Columns{Hash: &hash, HashAlgo: &algo}
	changes[4].Set = ingest.Columns{Bucket: &bucket, ObjectKey: &key}
	return changes
}

// BenchmarkApply takes files from ready to completed, six changes each, eight
// at once; an op is one change.
func BenchmarkApply(b *testing.B) { withAndWithout(b, benchApply) }

func benchApply(b *testing.B, drop string) {
	s, server := benchStore(b, drop)
	ctx := context.Background()
	files := max(1, b.N/6)
	for from := 0; from < files; from += 1000 {
		_, err := s.Observe(ctx, server.UUID, "schedule", paths(fmt.Sprintf("/in/%d", from), min(1000, files-from)))
		require.NoError(b, err)
	}
	_, _, err := s.Promote(ctx, ingest.Server{UUID: server.UUID})
	require.NoError(b, err)
	var ways [][]ingest.Change
	for after := int64(0); len(ways) < files; {
		page, err := s.Files(ctx, ingest.FileFilter{AfterID: after, Limit: 1000})
		require.NoError(b, err)
		for _, f := range page {
			ways, after = append(ways, way(f)), f.ID
		}
	}
	var next atomic.Int64
	done := make(chan error, benchWorkers)
	b.ResetTimer()
	for range benchWorkers {
		go func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(ways)) {
					done <- nil
					return
				}
				for _, change := range ways[i] {
					if err := s.Apply(ctx, change); err != nil {
						done <- err
						return
					}
				}
			}
		}()
	}
	for range benchWorkers {
		require.NoError(b, <-done)
	}
}

// BenchmarkObserve records a thousand new files per op and makes them ready.
func BenchmarkObserve(b *testing.B) { withAndWithout(b, benchObserve) }

func benchObserve(b *testing.B, drop string) {
	s, server := benchStore(b, drop)
	ctx := context.Background()
	batch := 0
	for b.Loop() {
		batch++
		_, err := s.Observe(ctx, server.UUID, "schedule", paths(fmt.Sprintf("/in/%d", batch), 1000))
		require.NoError(b, err)
		_, _, err = s.Promote(ctx, ingest.Server{UUID: server.UUID})
		require.NoError(b, err)
	}
}
