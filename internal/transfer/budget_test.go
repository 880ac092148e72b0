package transfer

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestBudgetBoundsAllTransfers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(3 * testPart)
		var now, most int
		var mu sync.Mutex
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now += n
			most = max(most, now)
		}
		to := sink{before: func(context.Context, int) error {
			count(1)
			time.Sleep(time.Second) // until everything possible is in flight
			count(-1)
			return nil
		}}
		d := newDirect(t, &to, func(cfg *DirectConfig) { cfg.Budget = budget })
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				var kept saved
				if _, err := d.Copy(context.Background(), directOf(content(20*testPart), &kept)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.Equal(t, 3, most)
		release, err := budget.Acquire(t.Context(), 3*testPart)
		require.NoError(t, err, "all memory was released")
		release()
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	budget := NewBudget(10)
	all, err := budget.Acquire(t.Context(), 1000)
	require.NoError(t, err, "a request larger than the budget gets all of it")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = budget.Acquire(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	all()
	all() // harmless
	for range 10 {
		_, err = budget.Acquire(t.Context(), 1)
		require.NoError(t, err)
	}
	_, err = budget.Acquire(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
}

func TestReadIntoMemory(t *testing.T) {
	t.Parallel()
	budget := NewBudget(10_000)
	d := newDirect(t, &sink{}, func(cfg *DirectConfig) { cfg.Budget = budget })
	for _, size := range []int{0, 1, 100, 1000, 7777} {
		want := content(size)
		file, err := d.Read(t.Context(), directOf(want, nil))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, file.Body))
		require.Equal(t, sha(want), file.SHA256)
		file.Release()
	}
	req := directOf(content(5000), nil)
	req.Size = 6000
	_, err := d.Read(t.Context(), req)
	require.Equal(t, ingest.KindChanged, ingest.KindOf(err), "%v", err)
	stop := make(chan struct{})
	close(stop)
	hang := make(chan struct{})
	defer close(hang)
	req.Stop, req.Source = stop, source{answer: func([]byte, int64) (int, error) { <-hang; return 0, io.EOF }}
	_, err = d.Read(t.Context(), req)
	require.ErrorIs(t, err, ingest.ErrStopped)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = budget.Acquire(ctx, 10_000)
	require.NoError(t, err, "all memory was released")
}
