package transfer

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// The partner's MD5 is computed together with the SHA-256, also after a resume.
func TestDirectAlsoComputesMD5(t *testing.T) {
	t.Parallel()
	var to sink
	var kept saved
	want := content(5*testPart + 1)
	req := directOf(want, &kept)
	req.Also = "md5"
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		if off >= 3000 {
			return 0, errors.New("connection reset")
		}
		return copy(p, want[off:]), nil
	}}
	_, err := newDirect(t, &to).Copy(t.Context(), req)
	require.Error(t, err)
	stopped := kept.get()
	for _, also := range []string{"", "md5"} {
		again := directOf(want, &kept)
		again.From, again.Also = stopped, also
		result, err := newDirect(t, &to).Copy(t.Context(), again)
		require.NoError(t, err)
		require.Equal(t, sha(want), result.SHA256)
		require.EqualValues(t, 3000, result.ResumedFrom)
		if also == "md5" {
			sum := md5.Sum(want)
			require.Equal(t, hex.EncodeToString(sum[:]), result.Also)
		}
	}
	digest, ok := newDirect(t, &to).Digest(kept.get())
	require.True(t, ok)
	require.Equal(t, sha(want), digest)

	// A checkpoint without the required MD5 is unusable.
	plain := directOf(want, &kept)
	_, err = newDirect(t, &to).Copy(t.Context(), plain)
	require.NoError(t, err)
	again := directOf(want, &kept)
	again.From, again.Also = kept.get(), "md5"
	result, err := newDirect(t, &to).Copy(t.Context(), again)
	require.NoError(t, err)
	require.Zero(t, result.ResumedFrom)
	again.Also = "crc32"
	_, err = newDirect(t, &to).Copy(t.Context(), again)
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
}
