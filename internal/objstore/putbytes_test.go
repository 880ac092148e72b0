package objstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// small returns a request to store size pseudo-random bytes.
func small(t testing.TB, size int, seed byte) ingest.PutBytes {
	t.Helper()
	req, content := stage(t, size, seed)
	return ingest.PutBytes{Key: key, Body: content, SHA256: req.SHA256, Metadata: req.Metadata}
}

// requests counts requests to the store by method.
type requests struct {
	mu     sync.Mutex
	counts map[string]int
}

func (r *requests) note(req *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[req.Method]++
	return true
}

func (b bundle) requireHolds(t *testing.T, req ingest.PutBytes, object ingest.Object) {
	t.Helper()
	got, info := b.stored(t)
	require.True(t, string(req.Body) == string(got), "the stored bytes equal the body")
	sum := sha256.Sum256(req.Body)
	require.Equal(t, ingest.Object{
		Bucket: b.s3.Bucket, Key: key, Size: int64(len(req.Body)), SHA256: hex.EncodeToString(sum[:]), ETag: info.ETag,
		Checksum: base64.StdEncoding.EncodeToString(sum[:]),
	}, object)
	require.Equal(t, req.SHA256, info.UserMetadata["Sha256"])
	require.Equal(t, "acme", info.UserMetadata["Server"])
}

func TestPutBytesIsOneRequest(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"empty": 0, "one byte": 1, "a megabyte": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var seen requests
			b.proxy.harm(seen.note, nil)
			req := small(t, size, 1)
			object, err := b.store.PutBytes(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, map[string]int{http.MethodPut: 1}, seen.counts)
			b.requireHolds(t, req, object)

			again, err := b.store.PutBytes(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, object, again)
		})
	}
}

func TestPutBytesKeepsOtherContent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := small(t, 1000, 2)
	object, err := b.store.PutBytes(t.Context(), first)
	require.NoError(t, err)
	for _, size := range []int{1000, 999, 0} {
		_, err = b.store.PutBytes(t.Context(), small(t, size, 3))
		require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
	}
	b.requireHolds(t, first, object)
}

func TestPutBytesSurvivesLostResponses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req := small(t, 4096, 4)
	isPut := func(r *http.Request) bool { return r.Method == http.MethodPut }
	b.proxy.harm(nil, func(*http.Request) bool { return true })
	_, err := b.store.PutBytes(t.Context(), req)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err), "%v", err)

	b.proxy.harm(nil, nil)
	object, err := b.store.PutBytes(t.Context(), req)
	require.NoError(t, err)
	b.requireHolds(t, req, object)

	require.NoError(t, b.s3.Core.RemoveObject(t.Context(), b.s3.Bucket, key, minio.RemoveObjectOptions{}))
	var dropped atomic.Bool
	b.proxy.harm(nil, func(r *http.Request) bool { return isPut(r) && dropped.CompareAndSwap(false, true) })
	object, err = b.store.PutBytes(t.Context(), req)
	require.NoError(t, err, "the client itself retries after one lost response")
	require.True(t, dropped.Load())
	b.requireHolds(t, req, object)
}

func TestPutBytesRejectsDamage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req := small(t, 4096, 5)
	b.proxy.harm(func(r *http.Request) bool {
		if r.Method == http.MethodPut {
			flipByte(t, r)
		}
		return true
	}, nil)
	_, err := b.store.PutBytes(t.Context(), req)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "rejected damaged bytes")
	_, found, err := b.store.Head(t.Context(), b.s3.Bucket, key)
	require.NoError(t, err)
	require.False(t, found)
}

// The object of a direct transfer has no SHA-256 in its metadata, so it is read.
func TestPutBytesRecognizesObjectOfDirectTransfer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req := small(t, 5000, 6)
	_, err := b.s3.Core.Client.PutObject(t.Context(), b.s3.Bucket, key, strings.NewReader(string(req.Body)), 5000, minio.PutObjectOptions{})
	require.NoError(t, err)
	object, err := b.store.PutBytes(t.Context(), req)
	require.NoError(t, err)
	require.EqualValues(t, 5000, object.Size)
	_, err = b.store.PutBytes(t.Context(), small(t, 5000, 7))
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
}

func TestSmallPutsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var addresses sync.Map
	b.proxy.harm(func(r *http.Request) bool { addresses.Store(r.RemoteAddr, true); return true }, nil)
	const parallel, rounds = 64, 4
	body := small(t, 1000, 8)
	for round := range rounds {
		var group sync.WaitGroup
		for i := range parallel {
			group.Go(func() {
				req := body
				req.Key = "many/" + string(rune('a'+round)) + "/" + string(rune('0'+i))
				if _, err := b.store.PutBytes(context.Background(), req); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	var connections int
	addresses.Range(func(any, any) bool { connections++; return true })
	require.LessOrEqual(t, connections, parallel+parallel/4)
}

func hexSum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
