package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// taken takes reads of one byte until one is rejected, and returns their number.
func taken(r *ReadAhead, outstanding int) int {
	for r.take(1, outstanding) {
		outstanding++
	}
	return outstanding
}

// A transfer gets exactly its equal share of the total and, beyond the total, only
// minWindow reads.
func TestReadAheadLimits(t *testing.T) {
	t.Parallel()
	for transfers, want := range map[int]int{1: 100, 2: 50, 3: 33, 7: 14, 50: 2, 1000: minWindow} {
		r := NewReadAhead(100)
		for range transfers {
			r.join()
		}
		for range transfers {
			assert.Equal(t, want, taken(r, 0), "of %d transfers", transfers)
		}
		assert.LessOrEqual(t, r.used, max(100, int64(minWindow*transfers)))
	}
	r := NewReadAhead(100)
	r.join()
	require.Equal(t, 100, taken(r, 0))
	r.join()
	assert.False(t, r.take(1, minWindow), "the first transfer holds all")
	require.True(t, r.take(1, 0))
	require.True(t, r.take(1, 1))
	for range 2 {
		r.give(1)
		assert.False(t, r.take(1, minWindow), "the two reads of the second exceed the total")
	}
	r.give(1)
	assert.True(t, r.take(1, minWindow))
	assert.EqualValues(t, 100, r.used)
}

func TestReadAheadWithoutLimit(t *testing.T) {
	t.Parallel()
	var r *ReadAhead
	r.join()
	assert.True(t, r.take(1<<60, 1<<20))
	r.give(1 << 60)
	r.leave()
	assert.EqualValues(t, DefaultReadAhead, NewReadAhead(0).total)
}

const (
	aheadChunk  = 10
	aheadWindow = 64
)

func reading(r *ReadAhead, of []byte) *pipeline {
	return newPipeline(bytes.NewReader(of), 0, int64(len(of)), aheadChunk, aheadWindow, r)
}

// readOne waits for the oldest chunk, appends and releases it; false at the end.
func readOne(t *testing.T, p *pipeline, to *[]byte) bool {
	head := p.head()
	if head == nil {
		return false
	}
	<-head.done
	require.NoError(t, head.check())
	*to = append(*to, head.bytes()...)
	p.release()
	return true
}

// A hundred large files use the whole total and make no progress.
func TestSmallFileIsReadWhileLargeOnesUseTheTotal(t *testing.T) {
	t.Parallel()
	const large, total = 100, 800 * aheadChunk
	r := NewReadAhead(total)
	all := make([]*pipeline, large)
	read := make([][]byte, large)
	body := content(1000 * aheadChunk)
	for i := range all {
		all[i] = reading(r, body)
	}
	require.GreaterOrEqual(t, r.used, int64(total), "they use the total")

	var got []byte
	want := content(5*aheadChunk + 3)
	small := reading(r, want)
	require.Len(t, small.outstanding, minWindow, "it does not wait for others")
	for readOne(t, small, &got) {
		require.LessOrEqual(t, len(small.outstanding), minWindow+1, "the read past the end needs no share")
	}
	require.Equal(t, want, got)
	small.close(time.Second)

	// When the large files progress, each shrinks to its share and the new one grows
	// to it.
	const share = 800 / (large + 1)
	another := reading(r, body)
	for range aheadWindow {
		for i, p := range all {
			readOne(t, p, &read[i])
		}
		require.LessOrEqual(t, r.used, int64(total+(large+1)*minWindow*aheadChunk))
	}
	got = nil
	for range share { // each release may start as many reads as the share has room for
		readOne(t, another, &got)
	}
	for _, p := range append(all, another) {
		assert.LessOrEqual(t, len(p.outstanding), share)
	}
	assert.Len(t, another.outstanding, share)
	assert.LessOrEqual(t, r.used, int64(total))
	for i, p := range all {
		assert.Equal(t, body[:len(read[i])], read[i])
		p.close(time.Second)
	}
	another.close(time.Second)
	requireFree(t, r)
}

// requireFree checks that no transfer or memory is counted.
func requireFree(t *testing.T, r *ReadAhead) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Zero(t, r.used, "bytes in use")
	require.Zero(t, r.transfers, "transfers")
}

// Reads are released at every kind of end, in every mode.
func TestReadAheadIsReleased(t *testing.T) {
	t.Parallel()
	broken := errors.New("the line broke")
	const size, half = 20 * testChunk, 10 * testChunk
	body := content(size)
	modes := map[string]func(ctx context.Context, t *testing.T, r *ReadAhead, from source) error{
		"memory": func(ctx context.Context, _ *testing.T, r *ReadAhead, from source) error {
			_, _, err := Memory{ReadAhead: r}.ReadWhole(ctx, from, size, 0, 0)
			return err
		},
		"staged": func(ctx context.Context, t *testing.T, r *ReadAhead, from source) error {
			req := fetchOf(body)
			req.Source = from
			_, err := open(t, Config{ChunkSize: testChunk, ReadAhead: r}).Fetch(ctx, req)
			return err
		},
		"direct": func(ctx context.Context, t *testing.T, r *ReadAhead, from source) error {
			var kept saved
			req := directOf(body, &kept)
			req.Source = from
			_, err := newDirect(t, &sink{}, func(cfg *DirectConfig) { cfg.ReadAhead = r }).Copy(ctx, req)
			return err
		},
	}
	ends := map[string]struct {
		answer func(cancel func(), hang <-chan struct{}, p []byte, off int64) (int, error)
		want   error
	}{
		"done": {answer: nil},
		"error": {func(_ func(), _ <-chan struct{}, p []byte, off int64) (int, error) {
			if off+int64(len(p)) > half {
				return 0, broken
			}
			return copy(p, body[off:]), nil
		}, broken},
		"cancelled": {func(cancel func(), hang <-chan struct{}, p []byte, off int64) (int, error) {
			if off+int64(len(p)) > half {
				cancel()
				<-hang // reads that hang end when the caller closes the source
				return 0, io.ErrClosedPipe
			}
			return copy(p, body[off:]), nil
		}, context.Canceled},
	}
	for mode, run := range modes {
		for end, tc := range ends {
			t.Run(mode+"/"+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // the bubble ends when no goroutine is left
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					hang := make(chan struct{})
					from := source{content: body}
					if tc.answer != nil {
						from.answer = func(p []byte, off int64) (int, error) { return tc.answer(cancel, hang, p, off) }
					}
					r := NewReadAhead(4 * testChunk)
					err := run(ctx, t, r, from)
					close(hang)
					if tc.want == nil {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, tc.want)
					}
					requireFree(t, r)
				})
			})
		}
	}
}
