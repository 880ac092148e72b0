package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

// scatter writes files of two servers in all statuses, folders and times. Adjacent ids have
// unrelated times.
func (b *testBundle) scatter(t *testing.T, n int) {
	t.Helper()
	b.addServer(t, "other")
	b.exec(t, `
		INSERT INTO files (server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, status, file_hash, created_at)
		SELECT s.uuids[1 + i % 2], p, convert_to(p, 'UTF8'), i || '.csv', i, now(), st.names[1 + i % cardinality(st.names)],
			CASE WHEN i % 3 = 0 THEN md5((i % 7)::text) END, $2::timestamptz + make_interval(mins => i * 37 % 101)
		FROM generate_series(1, $1) i
		CROSS JOIN LATERAL (SELECT format('/in/%s/%s.csv', i % 5, i) AS p) p
		CROSS JOIN (SELECT array_agg(server_uuid ORDER BY name) AS uuids FROM sftp_servers) s
		CROSS JOIN (SELECT array_agg(name) AS names FROM unnest($3::text[]) name) st`,
		n, epoch, []string{"ready", "error", "completed", "skipped", "downloading"})
}

// walkPages returns the uuids of all pages.
func (b *testBundle) walkPages(t require.TestingT, filter ingest.FileFilter) (all []string) {
	for {
		page, err := b.FilesPage(context.Background(), filter)
		require.NoError(t, err)
		all = append(all, uuids(page.Items)...)
		if filter.AfterID = page.Next; page.Next == 0 {
			return all
		}
	}
}

// Pages contain the same files as a full scan, with any index.
func TestPagesContainTheSelectedFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.scatter(t, 300)
	rapid.Check(t, func(rt *rapid.T) {
		at := func(label string) time.Time {
			if rapid.Bool().Draw(rt, label+" set") {
				return epoch.Add(time.Duration(rapid.IntRange(-5, 110).Draw(rt, label)) * time.Minute)
			}
			return time.Time{}
		}
		filter := ingest.FileFilter{
			Server:   rapid.SampledFrom([]string{"", "acme", "other"}).Draw(rt, "server"),
			Statuses: rapid.SliceOfN(rapid.SampledFrom(ingest.Statuses[:9]), 0, 3).Draw(rt, "statuses"),
			Path: rapid.SampledFrom([]string{
				"", "/in/1/*", "/in/**", "**/1*.csv", "12*", "*7.csv", "/in/?/20.csv", "/in/3/**", "/none/**", "**", "/in/4/1**", "in/2/*",
			}).Draw(rt, "path"),
			Hash: rapid.SampledFrom([]string{"", "", "cfcd208495d565ef66e7dff9f98764da", "none"}).Draw(rt, "hash"),
			From: at("from"), To: at("to"),
			Order: rapid.SampledFrom([]ingest.FileOrder{ingest.OrderOldest, ingest.OrderNewest}).Draw(rt, "order"),
			Limit: rapid.IntRange(1, 40).Draw(rt, "limit"),
		}
		everything := filter
		everything.Limit = 1000
		want, err := b.Files(t.Context(), everything)
		require.NoError(rt, err)
		require.Equal(rt, uuids(want), b.walkPages(rt, filter))
		for _, limit := range []int64{3, 1000} {
			count, err := b.CountUpTo(t.Context(), filter, limit)
			require.NoError(rt, err)
			n := int64(len(want))
			require.Equal(rt, ingest.Count{N: min(n, limit), More: n > limit}, count)
		}
	})
}

// A path that matches few files ends a page early, and the next pages continue.
func TestPageEndsAfterTheScanLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := store.PageScan*2 + store.PageScan/2
	b.scatter(t, n)
	for _, statuses := range [][]ingest.Status{nil, {ingest.StatusError, ingest.StatusReady, ingest.StatusCompleted, ingest.StatusSkipped}} {
		for _, order := range []ingest.FileOrder{ingest.OrderOldest, ingest.OrderNewest} {
			filter := ingest.FileFilter{Path: "*98.csv", Order: order, Limit: 1000, Statuses: statuses}
			want, err := b.Files(t.Context(), filter)
			require.NoError(t, err)
			require.NotEmpty(t, want)
			first, err := b.FilesPage(t.Context(), filter)
			require.NoError(t, err)
			require.Less(t, len(first.Items), len(want))
			require.NotZero(t, first.Next)
			require.Equal(t, uuids(want), b.walkPages(t, filter))
		}
	}
	count, err := b.CountUpTo(t.Context(), ingest.FileFilter{Path: "*98.csv"}, 1000)
	require.NoError(t, err)
	require.True(t, count.More, "not all files were examined")
	require.Less(t, count.N, int64(n/100))
	// The maximum of an index lookup, and one more.
	for _, most := range []int{store.MaxCandidates, store.MaxCandidates + 1} {
		b.exec(t, `UPDATE file_names SET name = 'same' WHERE file_id <= $1`, most)
		b.exec(t, `UPDATE files SET remote_path = '/x/same', filename = 'same' WHERE id <= $1`, most)
		require.Len(t, b.walkPages(t, ingest.FileFilter{Path: "**/same", Limit: 1000}), most)
	}
}

func TestLiteralsOfGlobs(t *testing.T) {
	t.Parallel()
	long := make([]rune, 300)
	for i := range long {
		long[i] = 'ж'
	}
	for glob, want := range map[string][2]string{
		"":                 {"", ""},
		"/a/b.csv":         {"/a/b.csv", "b.csv"},
		"/a/*/b?.csv":      {"/a/", "b"},
		"/a/**":            {"/a/", ""},
		"/a/b**c":          {"/a/b", ""},
		"a/b*":             {"", "b"},
		"*.csv":            {"", ""},
		"/a/":              {"/a/", ""},
		"/" + string(long): {"/" + string(long[:199]), string(long[:200])},
	} {
		path, name := store.Literals(glob)
		require.Equal(t, want, [2]string{path, name}, glob)
	}
}

// While files are written and folded concurrently, every snapshot of the counts contains each
// file once, and the final counts are exact.
func TestCountsAreExactInEverySnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	const files = 40
	b.observe(t, paths("/in", files)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	steps := []ingest.Status{
		ingest.StatusDownloading, ingest.StatusError, ingest.StatusReady, ingest.StatusDownloading, ingest.StatusDownloaded,
		ingest.StatusVerified, ingest.StatusUploading, ingest.StatusUploaded, ingest.StatusCompleted,
	}
	var writers errgroup.Group
	for part := range slices.Chunk(all, files/4) {
		writers.Go(func() error {
			for _, to := range steps {
				for _, file := range part {
					change := ingest.Change{FileUUID: file, To: to}
					if to == ingest.StatusError {
						change.Events = []ingest.Event{{Type: ingest.EventError}}
					}
					if err := b.Apply(ctx, change); err != nil {
						return fmt.Errorf("to %s: %w", to, err)
					}
				}
			}
			return nil
		})
	}
	done := make(chan struct{})
	var others errgroup.Group
	for _, work := range []func() error{
		func() error { return b.Fold(ctx) },
		func() error { return b.Fold(ctx) },
		func() error {
			counts, err := b.CountFiles(ctx, nil)
			total := int64(0)
			for status, n := range counts {
				total += n
				if n < 0 {
					return fmt.Errorf("%d files %s", n, status)
				}
			}
			if err == nil && total != files {
				return fmt.Errorf("%d files: %v", total, counts)
			}
			return err
		},
	} {
		others.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := work(); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(t, writers.Wait())
	close(done)
	require.NoError(t, others.Wait())
	b.requireExact(t)
	stats, err := b.Stats(ctx)
	require.NoError(t, err)
	var sum ingest.HourStats
	for _, h := range stats.Hours[b.server.UUID] {
		sum.Completed, sum.Bytes, sum.Failures = sum.Completed+h.Completed, sum.Bytes+h.Bytes, sum.Failures+h.Failures
	}
	require.Equal(t, ingest.HourStats{Completed: files, Bytes: files * (files - 1) / 2, Failures: files}, sum)
}

// requireExact compares the counts with the files, before and after folding.
func (b *testBundle) requireExact(t require.TestingT) {
	ctx := context.Background()
	rows, err := b.db.Query(ctx, "SELECT server_uuid::text, status, count(*) FROM files GROUP BY 1, 2")
	require.NoError(t, err)
	want := map[string]map[ingest.Status]int64{}
	var server string
	var status ingest.Status
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&server, &status, &n}, func() error {
		if want[server] == nil {
			want[server] = map[ingest.Status]int64{}
		}
		want[server][status] = n
		return nil
	})
	require.NoError(t, err)
	for range 2 {
		got, err := b.CountFilesByServer(ctx, nil)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, b.Fold(ctx))
	}
	var left int
	require.NoError(t, b.db.QueryRow(ctx, "SELECT count(*) FROM file_deltas").Scan(&left))
	require.Zero(t, left, "all deltas are folded")
}

// A store folds its own changes.
func TestChangesAreFoldedAutomatically(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.observe(t, paths("/in", 1200)...)
	b.promote(t, 0)
	var left int
	require.NoError(t, b.db.QueryRow(t.Context(), "SELECT count(*) FROM file_deltas").Scan(&left))
	require.Zero(t, left)
	b.requireExact(t)
}

func TestFilesAreListedByUUID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	b.scatter(t, 6)
	files := b.files(t)
	for _, order := range []ingest.FileOrder{ingest.OrderOldest, ingest.OrderNewest} {
		page, err := b.FilesPage(ctx, ingest.FileFilter{Order: order, UUIDs: []string{files[0].UUID, files[2].UUID, uuid.NewString()}})
		require.NoError(t, err)
		require.Len(t, page.Items, 2)
		page, err = b.FilesPage(ctx, ingest.FileFilter{Order: order, UUID: files[1].UUID[:10]})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
		require.Equal(t, files[1].UUID, page.Items[0].UUID)
	}
	page, err := b.FilesPage(ctx, ingest.FileFilter{UUIDs: []string{files[0].UUID}, Path: "/nowhere"})
	require.NoError(t, err)
	require.Empty(t, page.Items, "all conditions must match")
	count, err := b.CountUpTo(ctx, ingest.FileFilter{UUIDs: []string{files[0].UUID}}, 10)
	require.NoError(t, err)
	require.Equal(t, ingest.Count{N: 1}, count)
}
