package objstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

// weak is a real store behind a proxy that removes some of its abilities.
type weak struct {
	// drop lists request headers that the proxy removes; it fails requests with a header
	// in deaf.
	drop []string
	deaf []string
	// only, if not nil, restricts drop to some requests.
	only func(*http.Request) bool
	// blind: it computes the checksum of the received bytes, whatever the client sent.
	blind bool
	// signed: it rejects objects whose body is not signed.
	signed bool
	// damages, if not nil, selects requests in which it flips a bit.
	damages func(*http.Request) bool
	// silent removes the checksums from responses.
	silent bool
	// minPart is its minimum part size in bytes; 0 means S3's.
	minPart int64
}

var checksumElement = regexp.MustCompile(`<Checksum(SHA256|Algorithm|Type)>[^<]*</Checksum(SHA256|Algorithm|Type)>`)

// start returns a Store that uses it.
func (w weak) start(t *testing.T) (*objstore.Store, services.S3) {
	t.Helper()
	s3 := services.Bucket(t)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s3.Endpoint})
			if w.only != nil && !w.only(r.In) {
				r.Out.Host = r.In.Host
				return
			}
			for _, name := range slices.Concat(w.drop, []string{"Authorization"}) {
				r.Out.Header.Del(name)
			}
			if w.damages != nil && w.damages(r.In) {
				flip(t, r.Out)
			}
			if w.blind && r.In.Header.Get("x-amz-checksum-sha256") != "" {
				takeAnyChecksum(t, r.Out)
			}
			r.Out.Host = s3.Endpoint
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				r.Out.Header.Del(name)
			}
			r.Out.Header = signer.SignV4(*r.Out, s3.AccessKey, s3.SecretKey, "", region(s3)).Header
		},
		ModifyResponse: w.answer,
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.signed && r.Method == http.MethodPut && r.Header.Get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD" {
			_, _ = io.Copy(io.Discard, r.Body)
			rw.WriteHeader(http.StatusForbidden)
			fmt.Fprint(rw, "<Error><Code>AccessDenied</Code><Message>bodies must be signed</Message></Error>")
			return
		}
		for _, name := range w.deaf {
			if r.Header.Get(name) != "" {
				_, _ = io.Copy(io.Discard, r.Body)
				rw.WriteHeader(http.StatusNotImplemented)
				fmt.Fprintf(rw, "<Error><Code>NotImplemented</Code><Message>%s</Message></Error>", name)
				return
			}
		}
		if isComplete(r) && w.minPart > 0 {
			rw.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(rw, "<Error><Code>EntityTooSmall</Code><Message>too small</Message></Error>")
			return
		}
		forward.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	store, err := objstore.New(objstore.Config{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
		Bucket: s3.Bucket, Region: s3.Region, PartSize: partSize,
	})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store, s3
}

func takeAnyChecksum(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	assert.NoError(t, err)
	sum := sha256.Sum256(body)
	r.Header.Set("x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(sum[:]))
	r.Body = io.NopCloser(bytes.NewReader(body))
}

func flip(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	assert.NoError(t, err)
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
}

// Objects are read back from a store that no longer behaves as in the trial.
func TestStoreThatChangesItsBehavior(t *testing.T) {
	t.Parallel()
	for name, damaged := range map[string]bool{"takes what was sent": false, "takes other bytes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changed atomic.Bool
			write := func(r *http.Request) bool { return changed.Load() && r.Method == http.MethodPut }
			store, s3 := weak{
				drop: []string{"x-amz-checksum-sha256"}, only: write,
				damages: func(r *http.Request) bool { return damaged && write(r) },
			}.start(t)
			require.NoError(t, store.Ping(t.Context()))
			changed.Store(true)
			req := small(t, 1000, 3)
			object, err := store.PutBytes(t.Context(), req)
			if damaged {
				require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
				return
			}
			require.NoError(t, err)
			requireObject(t, store, s3, object, req.Body)
		})
	}
}

func region(s3 services.S3) string {
	if s3.Region == "" {
		return "us-east-1"
	}
	return s3.Region
}

func (w weak) answer(resp *http.Response) error {
	if !w.silent {
		return nil
	}
	for name := range resp.Header {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-checksum") {
			resp.Header.Del(name)
		}
	}
	if !strings.Contains(resp.Header.Get("Content-Type"), "xml") {
		return nil
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	text = checksumElement.ReplaceAll(text, nil)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	resp.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return nil
}

// A store without checksums, or one that does not verify them, gets MD5s, and
// objects are verified by HEAD.
func TestStoreWithoutChecksums(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]weak{
		"ignores them":     {drop: []string{"x-amz-checksum-sha256", "x-amz-checksum-algorithm"}, silent: true},
		"compares none":    {blind: true},
		"wants signatures": {drop: []string{"Authorization"}, signed: true},
		"refuses them":     {drop: []string{"Authorization"}, deaf: []string{"x-amz-checksum-sha256", "x-amz-checksum-algorithm"}, silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, s3 := w.start(t)
			conform(t, store, s3, false)
		})
	}
}

// A store that replaces objects is detected before the first write.
func TestStoreThatReplacesObjectsIsRejected(t *testing.T) {
	t.Parallel()
	isPut := func(r *http.Request) bool { return r.Method == http.MethodPut }
	for name, c := range map[string]struct {
		only func(*http.Request) bool
		text string
	}{
		"everywhere":  {nil, "ignores If-None-Match in PUT requests"},
		"in PUT":      {isPut, "ignores If-None-Match in PUT requests"},
		"in Complete": {isComplete, "ignores If-None-Match in CompleteMultipartUpload requests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, s3 := weak{drop: []string{"If-None-Match"}, only: c.only}.start(t)
			require.ErrorContains(t, store.Ping(t.Context()), c.text)
			large, _ := stage(t, 2*partSize, 1)
			_, err := store.Put(t.Context(), large)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, ingest.KindTransient, ingest.KindOf(err), "files wait until the store is changed")
			_, err = store.BeginUpload(t.Context(), key, nil)
			require.ErrorContains(t, err, c.text)
			_, err = store.PutBytes(t.Context(), small(t, 100, 2))
			if name == "in Complete" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.text)
			require.Empty(t, s3.Objects(t), "the trial leaves no objects")
			require.Zero(t, s3.OpenUploads(t))
		})
	}
}

func TestStoreWithLargerPartsIsNamed(t *testing.T) {
	t.Parallel()
	store, _ := weak{minPart: 32 << 20}.start(t)
	require.NoError(t, store.Ping(t.Context()))
	large, _ := stage(t, 2*partSize, 1)
	_, err := store.Put(t.Context(), large)
	require.ErrorContains(t, err, "requires larger parts")
}
