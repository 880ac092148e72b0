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

// benchWorkers apply changes concurrently.
const benchWorkers = 8

// interleaved alternates the same work on the full schema and on a schema without the tables
// for display, so that the difference is visible on a busy machine. prepare returns the work of
// one op.
func interleaved(b *testing.B, prepare func(b *testing.B, drop string) func(op int)) {
	const search = "DROP TRIGGER files_named ON files;"
	const statistics = `DROP TRIGGER files_counted_new ON files; DROP TRIGGER files_counted_moved ON files;
		DROP TRIGGER file_events_counted ON file_events;`
	names := []string{"all", "without-search", "without-search-and-statistics"}
	var run []func(op int)
	for _, drop := range []string{"", search, search + statistics} {
		run = append(run, prepare(b, drop))
	}
	took := make([]time.Duration, len(run))
	b.ResetTimer()
	for op := range b.N {
		for i := range run {
			i = (i + op) % len(run) // alternate the first
			began := time.Now()
			run[i](op)
			took[i] += time.Since(began)
		}
	}
	bare := took[len(took)-1]
	for i, name := range names {
		b.ReportMetric(float64(took[i].Microseconds())/float64(b.N)/1000, name+"-ms/op")
		b.ReportMetric(float64(took[i])/float64(bare), name+"-ratio")
	}
}

func benchStore(b *testing.B, drop string) (*store.Store, ingest.Server) {
	b.Helper()
	dsn := services.Database(b)
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

// way returns the changes of a file that is ingested without failures.
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

// applied is the number of files that one op of BenchmarkTriggers completes.
const applied = 50

// BenchmarkTriggers moves 50 files from ready to completed per op, with six changes each, eight
// concurrently.
func BenchmarkTriggers(b *testing.B) { interleaved(b, prepareApply) }

func prepareApply(b *testing.B, drop string) func(op int) {
	s, server := benchStore(b, drop)
	ctx := context.Background()
	for op := range b.N {
		_, err := s.Observe(ctx, server.UUID, "schedule", paths(fmt.Sprintf("/in/%d", op), applied))
		require.NoError(b, err)
	}
	_, _, err := s.Promote(ctx, ingest.Server{UUID: server.UUID})
	require.NoError(b, err)
	var ways [][]ingest.Change
	for after := int64(0); len(ways) < b.N*applied; {
		page, err := s.Files(ctx, ingest.FileFilter{AfterID: after, Limit: 1000})
		require.NoError(b, err)
		for _, f := range page {
			ways, after = append(ways, way(f)), f.ID
		}
	}
	return func(op int) {
		var group errgroup.Group
		group.SetLimit(benchWorkers)
		for _, changes := range ways[op*applied : (op+1)*applied] {
			group.Go(func() error {
				for _, change := range changes {
					if err := s.Apply(ctx, change); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(b, group.Wait())
	}
}

// BenchmarkObserve records a thousand new files per op and makes them ready.
func BenchmarkObserve(b *testing.B) {
	interleaved(b, func(b *testing.B, drop string) func(op int) {
		s, server := benchStore(b, drop)
		return func(op int) {
			_, err := s.Observe(b.Context(), server.UUID, "schedule", paths(fmt.Sprintf("/in/%d", op), 1000))
			require.NoError(b, err)
			_, _, err = s.Promote(b.Context(), ingest.Server{UUID: server.UUID})
			require.NoError(b, err)
		}
	})
}
