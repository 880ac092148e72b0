package objstore_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
)

var _ audit.Objects = (*objstore.Store)(nil)

func TestListComesInByteOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := []string{
		"files/2026/01/a/Z.csv", "files/2026/01/a/_.csv", "files/2026/01/a/a.b", "files/2026/01/a/a/deep", "files/2026/01/a/ab",
		"files/2026/01/a/É", "files/2026/01/a/я", "files/2026/02/b/x", "files/zzz",
	}
	for i := range want {
		_, err := b.s3.Core.PutObject(t.Context(), b.s3.Bucket, want[(i*4)%len(want)], nil, 0, "", "", minio.PutObjectOptions{})
		require.NoError(t, err)
	}
	_, err := b.s3.Core.PutObject(t.Context(), b.s3.Bucket, "others/x", nil, 0, "", "", minio.PutObjectOptions{})
	require.NoError(t, err)
	require.True(t, slices.IsSorted(want))
	var got []string
	require.NoError(t, b.store.List(t.Context(), "files/", func(o ingest.Object) error {
		got = append(got, o.Key)
		return nil
	}))
	require.Equal(t, want, got)

	enough := errors.New("enough")
	seen := 0
	require.ErrorIs(t, b.store.List(t.Context(), "files/", func(ingest.Object) error { seen++; return enough }), enough)
	require.Equal(t, 1, seen)
}

// More objects than one page of a listing.
func TestListPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 1003
	for i := range n {
		_, err := b.s3.Core.PutObject(t.Context(), b.s3.Bucket, "files/"+strconv.Itoa(i), nil, 0, "", "", minio.PutObjectOptions{})
		require.NoError(t, err)
	}
	seen, last := 0, ""
	require.NoError(t, b.store.List(t.Context(), "files/", func(o ingest.Object) error {
		require.Greater(t, o.Key, last)
		seen, last = seen+1, o.Key
		return nil
	}))
	require.Equal(t, n, seen)
}

func TestHeadAndDigest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for seed, size := range []int{0, 1000, 2*partSize + 5} {
		req, content := stage(t, size, byte(40+seed))
		req.Key += strconv.Itoa(size)
		_, err := b.store.Put(t.Context(), req)
		require.NoError(t, err)
		for _, look := range []func() (ingest.Object, bool, error){
			func() (ingest.Object, bool, error) { return b.store.Head(t.Context(), b.s3.Bucket, req.Key) },
			func() (ingest.Object, bool, error) { return b.store.Digest(t.Context(), b.s3.Bucket, req.Key) },
		} {
			object, found, err := look()
			require.NoError(t, err)
			require.True(t, found)
			require.EqualValues(t, size, object.Size)
			require.Equal(t, req.SHA256, object.SHA256)
		}

		// Only reading detects other bytes under the same metadata.
		if size == 1000 {
			content[0]++
			b.s3.Replace(t, req.Key, content)
			object, _, err := b.store.Head(t.Context(), b.s3.Bucket, req.Key)
			require.NoError(t, err)
			require.Equal(t, req.SHA256, object.SHA256)
			object, _, err = b.store.Digest(t.Context(), b.s3.Bucket, req.Key)
			require.NoError(t, err)
			sum := sha256.Sum256(content)
			require.Equal(t, hex.EncodeToString(sum[:]), object.SHA256)
		}
	}
}

func TestHeadAndDigestOfMissingObject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, bucket := range []string{b.s3.Bucket, b.s3.Bucket + "-none"} {
		_, found, err := b.store.Head(t.Context(), bucket, key)
		require.NoError(t, err)
		require.False(t, found)
		_, found, err = b.store.Digest(t.Context(), bucket, key)
		require.NoError(t, err)
		require.False(t, found)
	}
}

// A connection that breaks during a read proves nothing about the object.
func TestDigestRetriesBrokenRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req, _ := stage(t, 3<<20, 50)
	_, err := b.store.Put(t.Context(), req)
	require.NoError(t, err)
	for _, cuts := range []int32{2, 100} {
		var answers atomic.Int32
		forward := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: b.s3.Endpoint})
				r.Out.Host = r.In.Host
			},
			ModifyResponse: func(r *http.Response) error {
				if answers.Add(1) <= cuts {
					r.Body = io.NopCloser(io.LimitReader(r.Body, 1<<20))
				}
				return nil
			},
			ErrorLog: log.New(io.Discard, "", 0),
		}
		server := httptest.NewServer(forward)
		t.Cleanup(server.Close)
		store, err := objstore.New(objstore.Config{
			Endpoint: strings.TrimPrefix(server.URL, "http://"), AccessKey: b.s3.AccessKey, SecretKey: b.s3.SecretKey, Bucket: b.s3.Bucket, Region: b.s3.Region,
		})
		require.NoError(t, err)
		object, found, err := store.Digest(t.Context(), b.s3.Bucket, req.Key)
		if cuts > 3 {
			require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
			require.False(t, found)
			continue
		}
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, req.SHA256, object.SHA256)
	}
}
