package transfer

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// A killed worker leaves a call that never returns. Another worker must resume
// from the checkpoint while the first one hangs.
func TestDirectResumesAfterAKill(t *testing.T) {
	t.Parallel()
	var to sink
	var kept saved
	want := content(10*testPart + 50)
	hang, reached := make(chan struct{}), make(chan struct{})
	var once sync.Once
	req := directOf(want, &kept)
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		if off >= 6500 {
			once.Do(func() { close(reached) })
			<-hang
			return 0, os.ErrClosed
		}
		return copy(p, want[off:]), nil
	}}
	ended := make(chan error, 1)
	go func() { _, err := newDirect(t, &to).Copy(context.Background(), req); ended <- err }()
	<-reached
	require.Eventually(t, func() bool { return kept.get().Offset == 6*testPart }, time.Minute, time.Millisecond)

	var second saved
	var read atomic.Int64
	again := directOf(want, &second)
	again.From = kept.get()
	again.Source = source{answer: func(p []byte, off int64) (int, error) {
		read.Add(int64(len(p)))
		return copy(p, want[off:]), nil
	}}
	var resumed int64
	again.Resumed = func(offset int64) error { resumed = offset; return nil }
	result, err := newDirect(t, &to).Copy(t.Context(), again)
	require.NoError(t, err)
	requireDirect(t, &to, &second, result, want)
	require.EqualValues(t, 6*testPart, result.ResumedFrom)
	require.EqualValues(t, 6*testPart, resumed)
	require.EqualValues(t, len(want)-6*testPart+1, read.Load(), "no byte before the checkpoint is re-read; one more read finds the end")
	close(hang)
	require.Error(t, <-ended)
}

// Three kills during a 100 GB file cost at most one hundredth. All sizes are
// scaled down by 1000.
func TestThreeKillsCostAtMostAHundredth(t *testing.T) {
	t.Parallel()
	want := content(100_000_000)
	var to sink
	var read atomic.Int64
	from := ingest.TransferCheckpoint{}
	for _, kill := range []int64{20_123_456, 55_555_555, 91_234_567, 0} {
		d := newDirect(t, &to, func(cfg *DirectConfig) {
			cfg.PartSize, cfg.ChunkSize, cfg.Window, cfg.SaveBytes = 16_000, 32, 64, 64_000
		})
		var kept saved
		req := directOf(want, &kept)
		req.From = from
		ctx, cancel := context.WithCancel(t.Context())
		req.Source = source{answer: func(p []byte, off int64) (int, error) {
			read.Add(int64(len(p)))
			if kill > 0 && off >= kill {
				cancel()
			}
			return copy(p, want[off:]), nil
		}}
		killed := false
		req.Save = func(c ingest.TransferCheckpoint) error {
			killed = killed || ctx.Err() != nil
			if killed {
				return errors.New("a killed process saves nothing")
			}
			return kept.save(c)
		}
		result, err := d.Copy(ctx, req)
		cancel()
		if kill > 0 {
			require.Error(t, err)
			from = kept.get()
			continue
		}
		require.NoError(t, err)
		requireDirect(t, &to, &kept, result, want)
	}
	again := read.Load() - int64(len(want))
	t.Logf("%d bytes were read again, %.3f %%", again, float64(again)/float64(len(want))*100)
	require.Less(t, again, int64(len(want)/100))
}

func TestDirectStopStoresPartsInFlight(t *testing.T) {
	t.Parallel()
	var kept saved
	want := content(10 * testPart)
	stop := make(chan struct{})
	var once sync.Once
	to := sink{}
	to.before = func(_ context.Context, number int) error {
		if number == 3 {
			once.Do(func() { close(stop) })
		}
		return nil
	}
	req := directOf(want, &kept)
	req.Stop = stop
	_, err := newDirect(t, &to, func(cfg *DirectConfig) { cfg.PartsInFlight = 1 }).Copy(t.Context(), req)
	require.ErrorIs(t, err, ingest.ErrStopped)
	require.GreaterOrEqual(t, kept.get().Offset, int64(3*testPart), "the part in flight is stored and saved")
	require.Less(t, kept.get().Offset, int64(10*testPart))

	var second saved
	again := directOf(want, &second)
	again.From = kept.get()
	result, err := newDirect(t, &to).Copy(t.Context(), again)
	require.NoError(t, err)
	requireDirect(t, &to, &second, result, want)
}

// A hanging store must not delay a worker that stops.
func TestDirectStopEndsAStoreThatHangs(t *testing.T) {
	t.Parallel()
	var kept saved
	stop := make(chan struct{})
	var once sync.Once
	to := sink{before: func(ctx context.Context, _ int) error {
		once.Do(func() { close(stop) })
		<-ctx.Done()
		return ctx.Err()
	}}
	req := directOf(content(10*testPart), &kept)
	req.Stop = stop
	_, err := newDirect(t, &to, func(cfg *DirectConfig) { cfg.StopGrace = time.Millisecond }).Copy(t.Context(), req)
	require.ErrorIs(t, err, ingest.ErrStopped)
}

// A connection that breaks within each part must not prevent progress, as long as
// every connection returns bytes.
func TestDirectReconnectsWithinAPart(t *testing.T) {
	t.Parallel()
	var to sink
	var kept saved
	want := content(5*testPart + 1)
	broken := func(from int64) io.ReaderAt {
		return source{answer: func(p []byte, off int64) (int, error) {
			if off >= from+300 {
				return 0, errors.New("connection reset")
			}
			return copy(p, want[off:]), nil
		}}
	}
	var at atomic.Int64
	req := directOf(want, &kept)
	req.Source = broken(0)
	req.Progress = at.Store
	var connections int
	req.Reopen = func(context.Context) (io.ReaderAt, error) {
		connections++
		return broken(at.Load()), nil
	}
	result, err := newDirect(t, &to).Copy(t.Context(), req)
	require.NoError(t, err)
	requireDirect(t, &to, &kept, result, want)
	require.Equal(t, 16, connections)

	// A connection without any byte is an error for the caller.
	connections = 0
	req.Source = broken(0)
	req.Reopen = func(context.Context) (io.ReaderAt, error) { connections++; return broken(-1000), nil }
	_, err = newDirect(t, &to).Copy(t.Context(), req)
	require.ErrorContains(t, err, "connection reset")
	require.Equal(t, 1, connections)

	req.Source = broken(0)
	req.Reopen = func(context.Context) (io.ReaderAt, error) { return nil, ingest.Errorf(ingest.KindChanged, "replaced") }
	_, err = newDirect(t, &to).Copy(t.Context(), req)
	require.Equal(t, ingest.KindChanged, ingest.KindOf(err))
}

func TestDirectEndsWhenACheckpointIsRejected(t *testing.T) {
	t.Parallel()
	var to sink
	var kept saved
	req := directOf(content(100*testPart), &kept)
	saves := 0
	req.Save = func(ingest.TransferCheckpoint) error {
		saves++
		return ingest.Errorf(ingest.KindFenced, "another attempt has the file")
	}
	_, err := newDirect(t, &to).Copy(t.Context(), req)
	require.Equal(t, ingest.KindFenced, ingest.KindOf(err))
	require.Equal(t, 1, saves)
	require.Less(t, len(to.parts), 100)
}

func TestDirectRestartsWithoutAUsableCheckpoint(t *testing.T) {
	t.Parallel()
	want := content(5*testPart + 10)
	var kept saved
	stopped := directOf(want, &kept)
	stopped.Source = source{answer: func(p []byte, off int64) (int, error) {
		if off >= 3000 {
			return 0, errors.New("connection reset")
		}
		return copy(p, want[off:]), nil
	}}
	var to sink
	_, err := newDirect(t, &to).Copy(t.Context(), stopped)
	require.Error(t, err)
	for name, spoil := range map[string]func(*ingest.TransferCheckpoint){
		"hash state":     func(c *ingest.TransferCheckpoint) { c.HashState = []byte("junk") },
		"no state":       func(c *ingest.TransferCheckpoint) { c.HashState = nil },
		"offset":         func(c *ingest.TransferCheckpoint) { c.Offset++ },
		"past the end":   func(c *ingest.TransferCheckpoint) { c.Offset = 1 << 40 },
		"negative":       func(c *ingest.TransferCheckpoint) { c.Offset = -1 },
		"gap":            func(c *ingest.TransferCheckpoint) { c.Parts[1].Number = 7 },
		"missing part":   func(c *ingest.TransferCheckpoint) { c.Parts = c.Parts[:2] },
		"part size":      func(c *ingest.TransferCheckpoint) { c.PartSize = 999 },
		"no part size":   func(c *ingest.TransferCheckpoint) { c.PartSize = 0 },
		"another upload": func(c *ingest.TransferCheckpoint) { c.UploadID = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			c := kept.get()
			require.EqualValues(t, 3000, c.Offset)
			c.Parts = append([]ingest.Part(nil), c.Parts...)
			spoil(&c)
			var to sink
			var second saved
			req := directOf(want, &second)
			req.From = c
			result, err := newDirect(t, &to).Copy(t.Context(), req)
			require.NoError(t, err)
			require.Zero(t, result.ResumedFrom)
			requireDirect(t, &to, &second, result, want)
		})
	}
}

// With a checkpoint of all parts no byte is read except the check for the end.
func TestDirectOfStoredPartsReadsNothing(t *testing.T) {
	t.Parallel()
	var to sink
	var kept saved
	want := content(2500)
	first, err := newDirect(t, &to).Copy(t.Context(), directOf(want, &kept))
	require.NoError(t, err)
	req := directOf(want, &kept)
	req.From = kept.get()
	req.Source = source{answer: func(_ []byte, off int64) (int, error) {
		require.EqualValues(t, len(want), off, "re-read")
		return 0, io.EOF
	}}
	result, err := newDirect(t, &to).Copy(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, first.SHA256, result.SHA256)
	require.Equal(t, first.Checkpoint, result.Checkpoint)
}

// On a slow connection the interval triggers checkpoints.
func TestDirectSavesByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var to sink
		var kept saved
		want := content(10 * testPart)
		req := directOf(want, &kept)
		req.Source = source{answer: func(p []byte, off int64) (int, error) {
			time.Sleep(50 * time.Millisecond)
			return copy(p, want[off:]), nil
		}}
		d := newDirect(t, &to, func(cfg *DirectConfig) { cfg.SaveBytes, cfg.Window = 1<<40, 1 })
		_, err := d.Copy(t.Context(), req)
		require.NoError(t, err)
		require.InDelta(t, 5, kept.n, 1, "5 s of work, a save a second")
	})
}
