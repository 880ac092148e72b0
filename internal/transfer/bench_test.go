package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// benchSize is large enough for several checkpoints.
const benchSize = 128 << 20

// BenchmarkFetch copies from memory to disk with checkpoints.
func BenchmarkFetch(b *testing.B) {
	want := content(benchSize)
	s, err := Open(Config{Dir: b.TempDir()})
	require.NoError(b, err)
	defer func() { _ = s.Close() }()
	b.SetBytes(benchSize)
	for b.Loop() {
		_, err := s.Fetch(b.Context(), fetchOf(want))
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, s.Discard(fileUUID))
		b.StartTimer()
	}
}

// BenchmarkCeiling measures the limit of disk and hash: one copy, one fsync.
func BenchmarkCeiling(b *testing.B) {
	want := content(benchSize)
	path := filepath.Join(b.TempDir(), "data")
	b.SetBytes(benchSize)
	for b.Loop() {
		f, err := os.Create(path)
		require.NoError(b, err)
		_, err = io.Copy(io.MultiWriter(f, sha256.New()), bytes.NewReader(want))
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
		b.StopTimer()
		require.NoError(b, os.Remove(path))
		b.StartTimer()
	}
}

// nullStore discards parts.
type nullStore struct{}

func (nullStore) PutPart(_ context.Context, req ingest.PutPart) (ingest.Part, error) {
	return ingest.Part{Number: req.Number, Size: int64(len(req.Body)), ETag: "x"}, nil
}

// BenchmarkDirect copies from memory into parts: two hashes and two copies per byte.
func BenchmarkDirect(b *testing.B) {
	want := content(benchSize)
	d, err := NewDirect(DirectConfig{Parts: nullStore{}})
	require.NoError(b, err)
	b.SetBytes(benchSize)
	before := cpuTime()
	for b.Loop() {
		var kept saved
		_, err := d.Copy(b.Context(), directOf(want, &kept))
		require.NoError(b, err)
	}
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

// cpuTime returns the processor time of this process.
func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
