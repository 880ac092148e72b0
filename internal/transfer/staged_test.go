package transfer

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestDamagedStagingRestarts(t *testing.T) {
	t.Parallel()
	want := content(5000)
	for name, damage := range map[string]func(t *testing.T, f folder){
		"truncated checkpoint": func(t *testing.T, f folder) { require.NoError(t, os.Truncate(f.checkpoint(), 20)) },
		"empty checkpoint":     func(t *testing.T, f folder) { require.NoError(t, os.Truncate(f.checkpoint(), 0)) },
		"flipped checkpoint": func(t *testing.T, f folder) {
			text, err := os.ReadFile(f.checkpoint())
			require.NoError(t, err)
			digest := []byte(sha(want))
			wrong := bytes.Clone(digest)
			wrong[0] ^= 1 // still has the form of a digest
			require.Contains(t, string(text), string(digest))
			text = bytes.Replace(text, digest, wrong, 1)
			require.NoError(t, os.WriteFile(f.checkpoint(), text, 0o600))
		},
		"short data": func(t *testing.T, f folder) { require.NoError(t, os.Truncate(f.data(), 4999)) },
		"long data":  func(t *testing.T, f folder) { require.NoError(t, os.Truncate(f.data(), 5001)) },
		"no data":    func(t *testing.T, f folder) { require.NoError(t, os.Remove(f.data())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, Config{})
			_, err := s.Fetch(t.Context(), fetchOf(want))
			require.NoError(t, err)
			f, err := s.folder(fileUUID)
			require.NoError(t, err)
			damage(t, f)
			_, err = s.Staged(t.Context(), fileUUID)
			require.Equal(t, ingest.KindStagingLost, ingest.KindOf(err))
			staged, err := s.Fetch(t.Context(), fetchOf(want))
			require.NoError(t, err)
			require.Zero(t, staged.ResumedFrom)
			requireStaged(t, s, want)
		})
	}
}

// The checkpoint of truncated data records bytes that the disk has lost. Resuming
// from it would leave a hole under a correct hash.
func TestCheckpointWithoutItsBytesIsNotResumed(t *testing.T) {
	t.Parallel()
	want := content(5000)
	s := open(t, Config{ChunkSize: 1000, Window: 1, CheckpointBytes: 1000})
	req := fetchOf(want)
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		if off >= 3000 {
			return 0, errors.New("cut")
		}
		return bytes.NewReader(want).ReadAt(p, off)
	}}
	_, err := s.Fetch(t.Context(), req)
	require.Error(t, err)
	f, err := s.folder(fileUUID)
	require.NoError(t, err)
	c, err := f.load()
	require.NoError(t, err)
	require.Positive(t, c.Offset)
	require.NoError(t, os.Truncate(f.data(), c.Offset-1))
	staged, err := s.Fetch(t.Context(), fetchOf(want))
	require.NoError(t, err)
	require.Zero(t, staged.ResumedFrom)
	requireStaged(t, s, want)
}

func TestDigests(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	want := content(2<<20 + 5)
	_, _, err := s.Digests(t.Context(), fileUUID, nil, "sha256")
	require.Equal(t, ingest.KindStagingLost, ingest.KindOf(err))
	_, err = s.Fetch(t.Context(), fetchOf(want))
	require.NoError(t, err)

	var last atomic.Int64
	size, digests, err := s.Digests(t.Context(), fileUUID, last.Store, "sha256", "md5", "md5")
	require.NoError(t, err)
	sum := md5.Sum(want)
	require.Equal(t, int64(len(want)), size)
	require.Equal(t, size, last.Load())
	require.Equal(t, map[string]string{"sha256": sha(want), "md5": hex.EncodeToString(sum[:])}, digests)

	_, _, err = s.Digests(t.Context(), fileUUID, nil, "crc32")
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = s.Digests(ctx, fileUUID, nil, "md5")
	require.ErrorIs(t, err, context.Canceled)
}

func TestDiscardAndList(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	require.NoError(t, s.Discard(fileUUID), "discard is idempotent")
	_, err := s.Fetch(t.Context(), fetchOf(content(10)))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(s.cfg.Dir, "files", "foreign"), 0o700))
	f, err := s.folder(fileUUID)
	require.NoError(t, err)
	hourAgo := time.Now().Add(-time.Hour)
	for _, path := range []string{f.data(), f.checkpoint(), f.path} {
		require.NoError(t, os.Chtimes(path, hourAgo, hourAgo))
	}
	held, err := s.List()
	require.NoError(t, err)
	require.Len(t, held, 1)
	require.Equal(t, fileUUID, held[0].FileUUID)
	require.InDelta(t, time.Hour, held[0].Age, float64(time.Minute))

	require.NoError(t, s.Discard(fileUUID))
	require.NoError(t, s.Discard(fileUUID))
	require.NoDirExists(t, f.path)
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(s.Discard("../x")))
}
