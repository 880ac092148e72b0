package transfer

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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

// BenchmarkCeiling is what the disk and the hash allow: one copy, one fsync.
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
