package services_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/test/services"
)

func TestPatternReadAt(t *testing.T) {
	t.Parallel()
	p := services.NewPattern(100_003)
	whole, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	require.NoError(t, err)
	require.Len(t, whole, 100_003)
	for _, piece := range []struct{ off, n int }{{0, 1}, {4095, 2}, {4096, 4096}, {8191, 8194}, {99_000, 1003}} {
		got := make([]byte, piece.n)
		_, err := p.ReadAt(got, int64(piece.off))
		require.NoError(t, err)
		require.Equal(t, whole[piece.off:piece.off+piece.n], got)
	}
	n, err := p.ReadAt(make([]byte, 10), 100_000)
	require.Equal(t, 3, n)
	require.ErrorIs(t, err, io.EOF)
	sum := sha256.Sum256(whole)
	require.Equal(t, hex.EncodeToString(sum[:]), p.SHA256())
}

// TestPatternDetectsMisplacedBytes: every word of a block differs from the same word of
// any other block.
func TestPatternDetectsMisplacedBytes(t *testing.T) {
	t.Parallel()
	p, scratch := services.NewPattern(1<<40), make([]byte, 64)
	for _, off := range []int64{0, 4096, 512 << 20, 100e9} {
		body := make([]byte, 64)
		_, err := p.ReadAt(body, off)
		require.NoError(t, err)
		require.NoError(t, p.Check(body, off, scratch))
		for _, other := range []int64{off + 1, off + 64, off + 4096, off + 32<<10, off + 8<<20} {
			require.Error(t, p.Check(body, other, scratch))
		}
		body[63] ^= 1
		require.ErrorContains(t, p.Check(body, off, scratch), "differs from the source")
	}
}

func BenchmarkPattern(b *testing.B) {
	p, buf := services.NewPattern(1<<40), make([]byte, 32<<10)
	b.SetBytes(int64(len(buf)))
	for off := int64(0); b.Loop(); off += int64(len(buf)) {
		_, _ = p.ReadAt(buf, off)
	}
}
