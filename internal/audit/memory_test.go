package audit_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
)

// generated is a ledger, store and server with n files that are generated when read.
// Every hundredth object is missing. It measures the largest live heap.
type generated struct {
	*fixture // has no rows
	n        int
	heap     atomic.Uint64
}

func (e *generated) row(i int) ingest.History {
	h := completed(i)
	h.File.ObjectKey, h.File.RemotePath = fmt.Sprintf("files/%09d", i), fmt.Sprintf("/out/%09d", i)
	return h
}

// measure measures the heap at ten of the n files of each stream: garbage collection is
// slow.
func (e *generated) measure(i int) {
	if i%(e.n/10) != 0 {
		return
	}
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	if stats.HeapAlloc > e.heap.Load() {
		e.heap.Store(stats.HeapAlloc)
	}
}

func (e *generated) HistoriesByKey(_ context.Context, q ingest.HistoryQuery) (page []ingest.History, err error) {
	e.measure(int(q.AfterID))
	for i := int(q.AfterID) + 1; i <= e.n && len(page) < q.Limit; i++ {
		page = append(page, e.row(i))
	}
	return page, nil
}

func (e *generated) FilesSeen(_ context.Context, _ string, seen []ingest.Observation) (files []ingest.File, err error) {
	for _, o := range seen {
		if o.Size%100 != 0 { // every hundredth is not in the ledger
			f := completed(int(o.Size)).File
			f.RemotePath = o.Path
			files = append(files, f)
		}
	}
	return files, nil
}

func (e *generated) List(_ context.Context, _ string, fn func(ingest.Object) error) error {
	for i := 1; i <= e.n; i++ {
		e.measure(i)
		if i%100 == 0 {
			continue
		}
		if err := fn(ingest.Object{Key: fmt.Sprintf("files/%09d", i)}); err != nil {
			return err
		}
	}
	return nil
}

func (e *generated) Head(_ context.Context, _, key string) (ingest.Object, bool, error) {
	i, err := strconv.Atoi(key[len("files/"):])
	return ingest.Object{Key: key, Size: int64(i), SHA256: fmt.Sprint("h", i)}, i%100 != 0, err
}

func (e *generated) Digest(ctx context.Context, bucket, key string) (ingest.Object, bool, error) {
	return e.Head(ctx, bucket, key)
}

func (e *generated) list(_ context.Context, fn func(ingest.Observation) error) (ingest.Unread, error) {
	for i := 1; i <= e.n; i++ {
		e.measure(i)
		err := fn(ingest.Observation{Path: fmt.Sprintf("/out/%09d", i), Size: int64(i), ModTime: now.Add(-time.Hour)})
		if err != nil {
			return ingest.Unread{}, err
		}
	}
	return ingest.Unread{}, nil
}

// peak returns the largest live heap of an audit of n files.
func peak(t *testing.T, n int) uint64 {
	e := &generated{fixture: newFixture(0), n: n}
	var discrepancies int
	a := &audit.Auditor{
		Ledger: e, Objects: e, Deep: true, Now: func() time.Time { return now },
		Report: func(audit.Discrepancy) error {
			discrepancies++
			return nil
		},
	}
	require.NoError(t, a.Stored(t.Context()))
	_, err := a.Listed(t.Context(), acme, e.list)
	require.NoError(t, err)
	require.Equal(t, 2*n/100, discrepancies)
	require.EqualValues(t, n, a.Counts().Files)
	require.EqualValues(t, n, a.Counts().Sources)
	return e.heap.Load()
}

// TestMemoryDoesNotGrowWithTheNumberOfFiles is not parallel: other tests use the heap.
func TestMemoryDoesNotGrowWithTheNumberOfFiles(t *testing.T) { //nolint:paralleltest // see above
	few, many := peak(t, 20_000), peak(t, 200_000)
	t.Logf("live heap: %d KiB at 20,000 files, %d KiB at 200,000", few>>10, many>>10)
	require.Less(t, float64(many)/float64(few), 1.5)
}
