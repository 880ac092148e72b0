package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// wholeFileModes are all ways to read a file, from the beginning or, where possible,
// from a checkpoint at its end. They return the digest.
var wholeFileModes = map[string]func(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt) (string, error){
	"memory": func(ctx context.Context, _ *testing.T, of []byte, from io.ReaderAt) (string, error) {
		_, digest, err := Memory{}.ReadWhole(ctx, from, int64(len(of)), 0, 0)
		return digest, err
	},
	"staged": func(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt) (string, error) {
		req := fetchOf(of)
		req.Source = from
		staged, err := open(t, Config{ChunkSize: testChunk}).Fetch(ctx, req)
		return staged.SHA256, err
	},
	"staged, resumed at the end": func(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt) (string, error) {
		s, req := open(t, Config{ChunkSize: testChunk}), fetchOf(of)
		req.Source = failsAtEOF(of)
		_, err := s.Fetch(ctx, req)
		require.ErrorIs(t, err, errLine)
		req.Source = from
		staged, err := s.Fetch(ctx, req)
		if err == nil {
			require.EqualValues(t, len(of), staged.ResumedFrom)
			requireStaged(t, s, of)
		}
		return staged.SHA256, err
	},
	"direct, one part": func(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt) (string, error) {
		small, err := newDirect(t, &sink{}).Read(ctx, ingest.DirectTransfer{Key: "k", Size: int64(len(of)), Source: from})
		if err == nil {
			small.Release()
		}
		return small.SHA256, err
	},
	"direct": func(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt) (string, error) {
		return copyParts(ctx, t, of, from, ingest.TransferCheckpoint{})
	},
	"direct, resumed at the end": func(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt) (string, error) {
		var kept saved
		req := directOf(of, &kept)
		req.Source = failsAtEOF(of)
		_, err := newDirect(t, &sink{}).Copy(ctx, req)
		require.ErrorIs(t, err, errLine)
		return copyParts(ctx, t, of, from, kept.get())
	},
}

// errLine is the error of a broken connection.
var errLine = errors.New("the line broke")

// failsAtEOF returns all bytes, but fails instead of reporting the end.
func failsAtEOF(of []byte) io.ReaderAt {
	return source{answer: func(p []byte, off int64) (int, error) {
		if off == int64(len(of)) {
			return 0, errLine
		}
		return copy(p, of[off:]), nil
	}}
}

func copyParts(ctx context.Context, t *testing.T, of []byte, from io.ReaderAt, at ingest.TransferCheckpoint) (string, error) {
	var kept saved
	req := directOf(of, &kept)
	req.Source, req.From = from, at
	result, err := newDirect(t, &sink{}).Copy(ctx, req)
	return result.SHA256, err
}

// A file that is longer than reported must not be truncated, in any mode and size,
// and also when only the end is left to read.
func TestLongerFileIsNotTruncated(t *testing.T) {
	t.Parallel()
	for mode, read := range wholeFileModes {
		for _, size := range []int{0, 1, testChunk, 7*testChunk + 3} {
			if size == 0 && (mode == "direct" || mode == "direct, resumed at the end") {
				continue // an upload in parts has some
			}
			longer := content(size + 5000)
			_, err := read(t.Context(), t, longer[:size], source{content: longer})
			require.True(t, ingest.IsKind(err, ingest.KindChanged), "%s, size %d: %v", mode, size, err)
			require.ErrorContains(t, err, "bytes, but the file is longer")
		}
	}
}

// The end costs one additional read of one byte, for all ways in which servers
// report it.
func TestEndIsReadOnce(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]error{"EOF": io.EOF, "nothing": nil} {
		for mode, read := range wholeFileModes {
			for _, size := range []int{0, 1, testChunk, 7*testChunk + 3} {
				if size == 0 && (mode == "direct" || mode == "direct, resumed at the end") {
					continue
				}
				want := content(size)
				var mu sync.Mutex
				asked := 0
				digest, err := read(t.Context(), t, want, source{answer: func(p []byte, off int64) (int, error) {
					if off < int64(size) {
						return copy(p, want[off:]), nil
					}
					mu.Lock()
					defer mu.Unlock()
					asked++
					require.Len(t, p, 1)
					return 0, end
				}})
				require.NoError(t, err, "%s, %s, size %d", name, mode, size)
				require.Equal(t, sha(want), digest)
				require.Equal(t, 1, asked, "%s, size %d", mode, size)
			}
		}
	}
}

// The read of the end is outstanding together with the last bytes.
func TestEndAddsNoRoundTrip(t *testing.T) {
	t.Parallel()
	want := content(3 * testChunk) // the content and its end fit the window
	for mode, read := range wholeFileModes {
		if mode != "memory" && mode != "staged" && mode != "direct" {
			continue
		}
		asked := make(chan struct{})
		_, err := read(t.Context(), t, want, source{answer: func(p []byte, off int64) (int, error) {
			if off == int64(len(want)) {
				close(asked)
				return 0, io.EOF
			}
			<-asked // no byte comes before
			return copy(p, want[off:]), nil
		}})
		require.NoError(t, err, mode)
	}
}
