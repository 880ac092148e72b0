package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
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

// sink is an object store that keeps parts in memory.
type sink struct {
	mu    sync.Mutex
	parts map[int][]byte
	// before, if not nil, is called before a part is stored; its error is returned.
	before func(ctx context.Context, number int) error
}

func (s *sink) PutPart(ctx context.Context, req ingest.PutPart) (ingest.Part, error) {
	if s.before != nil {
		if err := s.before(ctx, req.Number); err != nil {
			return ingest.Part{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return ingest.Part{}, err
	}
	if sha256.Sum256(req.Body) != req.SHA256 {
		return ingest.Part{}, errors.New("damaged part")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts == nil {
		s.parts = map[int][]byte{}
	}
	s.parts[req.Number] = bytes.Clone(req.Body)
	return ingest.Part{
		Number: req.Number, Size: int64(len(req.Body)), ETag: hex.EncodeToString(req.SHA256[:4]),
		SHA256: base64.StdEncoding.EncodeToString(req.SHA256[:]),
	}, nil
}

// object joins the parts of the checkpoint.
func (s *sink) object(c ingest.TransferCheckpoint) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []byte
	for _, part := range c.Parts {
		all = append(all, s.parts[part.Number]...)
	}
	return all
}

// saved records the checkpoints of a transfer.
type saved struct {
	mu   sync.Mutex
	last ingest.TransferCheckpoint
	n    int
}

func (s *saved) save(c ingest.TransferCheckpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.n = c, s.n+1
	return nil
}

func (s *saved) get() ingest.TransferCheckpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Small sizes make many small parts.
const (
	testChunk = 100
	testPart  = 1000
)

func newDirect(t testing.TB, to PartWriter, change ...func(*DirectConfig)) *Direct {
	t.Helper()
	cfg := DirectConfig{Parts: to, PartSize: testPart, ChunkSize: testChunk, Window: 4, SaveBytes: 1}
	for _, apply := range change {
		apply(&cfg)
	}
	d, err := NewDirect(cfg)
	require.NoError(t, err)
	return d
}

// directOf returns a request for all of b.
func directOf(b []byte, kept *saved) ingest.DirectTransfer {
	return ingest.DirectTransfer{Key: "key", UploadID: "upload", Size: int64(len(b)), Source: bytes.NewReader(b), Save: kept.save}
}

func requireDirect(t require.TestingT, to *sink, kept *saved, result ingest.DirectResult, want []byte) {
	require.True(t, bytes.Equal(want, to.object(result.Checkpoint)), "the parts are the source's bytes")
	require.Equal(t, sha(want), result.SHA256)
	require.Equal(t, int64(len(want)), result.Checkpoint.Offset)
	require.Equal(t, result.Checkpoint, kept.get(), "the last checkpoint is saved")
}

func TestDirectSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 99, 100, 999, 1000, 1001, 3000, 7777} {
		var to sink
		var kept saved
		want := content(size)
		req := directOf(want, &kept)
		var done atomic.Int64
		req.Progress = done.Store
		result, err := newDirect(t, &to).Copy(t.Context(), req)
		require.NoError(t, err, "size %d", size)
		requireDirect(t, &to, &kept, result, want)
		require.Len(t, result.Checkpoint.Parts, (size+testPart-1)/testPart)
		require.EqualValues(t, size, done.Load())
		require.Zero(t, result.ResumedFrom)
	}
}

func TestPartSizeOf(t *testing.T) {
	t.Parallel()
	d, err := NewDirect(DirectConfig{Parts: &sink{}})
	require.NoError(t, err)
	for size, want := range map[int64]int64{
		0: 8 << 20, 1: 8 << 20, 10_000 * (8 << 20): 8 << 20, 10_000*(8<<20) + 1: 16 << 20, 100e9: 16 << 20, 5 << 40: 1 << 30,
	} {
		require.Equal(t, want, d.PartSizeOf(size), "size %d", size)
	}
}

func TestDirectSourceErrors(t *testing.T) {
	t.Parallel()
	denied := ingest.Errorf(ingest.KindPermission, "denied")
	for name, c := range map[string]struct {
		n    int
		err  error
		kind ingest.Kind
		text string
	}{
		"ends early":    {10, io.EOF, ingest.KindChanged, "shrank while it was read: it ends at byte 5010"},
		"short":         {10, nil, ingest.KindTransient, "invalid source"},
		"reset":         {0, errors.New("connection reset"), ingest.KindTransient, "connection reset"},
		"classified":    {0, denied, ingest.KindPermission, "denied"},
		"nothing, zero": {0, nil, ingest.KindTransient, "invalid source"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var to sink
			var kept saved
			want := content(10 * testPart)
			req := directOf(want, &kept)
			req.Source = source{answer: func(p []byte, off int64) (int, error) {
				if off == 5000 {
					return c.n, c.err
				}
				return copy(p, want[off:]), nil
			}}
			_, err := newDirect(t, &to).Copy(t.Context(), req)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, c.kind, ingest.KindOf(err))
			require.EqualValues(t, 5000, kept.get().Offset, "the bytes read before are stored and saved")
		})
	}
}

func TestDirectPartFails(t *testing.T) {
	t.Parallel()
	var kept saved
	want := content(10 * testPart)
	to := sink{before: func(_ context.Context, number int) error {
		if number == 4 {
			return ingest.Errorf(ingest.KindTransient, "the store is full")
		}
		return nil
	}}
	req := directOf(want, &kept)
	_, err := newDirect(t, &to).Copy(t.Context(), req)
	require.ErrorContains(t, err, "the store is full")
	require.EqualValues(t, 3*testPart, kept.get().Offset, "parts after a gap do not count")

	to.before = nil
	again := directOf(want, &kept)
	again.From = kept.get()
	result, err := newDirect(t, &to).Copy(t.Context(), again)
	require.NoError(t, err)
	requireDirect(t, &to, &kept, result, want)
}

func TestDirectFailsWithoutProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := sink{before: func(context.Context, int) error {
			time.Sleep(3 * time.Minute) // a slow store is not a stalled source
			return nil
		}}
		var kept saved
		want := content(4 * testPart)
		closed := make(chan struct{})
		req := directOf(want, &kept)
		req.Source = source{answer: func(p []byte, off int64) (int, error) {
			if off >= 3500 {
				<-closed
				return 0, os.ErrClosed
			}
			return copy(p, want[off:]), nil
		}}
		_, err := newDirect(t, &to, func(cfg *DirectConfig) { cfg.StopGrace = time.Hour }).Copy(t.Context(), req)
		require.ErrorContains(t, err, "received no data for 1m0s at byte 3500 of 4000")
		require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
		require.EqualValues(t, 3000, kept.get().Offset)
		close(closed)
	})
}

func TestDirectRejectsInvalidRequests(t *testing.T) {
	t.Parallel()
	d := newDirect(t, &sink{})
	var kept saved
	for name, bad := range map[string]func(*ingest.DirectTransfer){
		"empty":     func(r *ingest.DirectTransfer) { r.Size = 0 },
		"no source": func(r *ingest.DirectTransfer) { r.Source = nil },
		"no save":   func(r *ingest.DirectTransfer) { r.Save = nil },
		"no upload": func(r *ingest.DirectTransfer) { r.UploadID = "" },
	} {
		req := directOf(content(10), &kept)
		bad(&req)
		_, err := d.Copy(t.Context(), req)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), name)
	}
	for _, cfg := range []DirectConfig{{}, {Parts: &sink{}, PartSize: -1}, {Parts: &sink{}, ChunkSize: 64 << 10}} {
		_, err := NewDirect(cfg)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), fmt.Sprint(cfg))
	}
}
