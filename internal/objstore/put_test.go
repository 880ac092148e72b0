package objstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

const (
	partSize = 5 << 20
	key      = "files/2026/11/0192aa00-0000-7000-8000-000000000001/report.csv"
)

// bundle is a store behind a proxy, with its own bucket.
type bundle struct {
	s3    services.S3
	proxy *proxy
	store *objstore.Store
}

func setup(t *testing.T, change ...func(*objstore.Config)) bundle {
	t.Helper()
	s3 := services.Bucket(t)
	p, address := startProxy(t, s3.Endpoint)
	cfg := objstore.Config{
		Endpoint: address, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
		Bucket: s3.Bucket, Region: s3.Region, PartSize: partSize,
	}
	for _, apply := range change {
		apply(&cfg)
	}
	store, err := objstore.New(cfg)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	_ = store.Ping(t.Context()) // tests do not count the probes
	p.partBytes.Store(0)
	p.partCount.Store(0)
	return bundle{s3: s3, proxy: p, store: store}
}

// stage writes size pseudo-random bytes to a file and returns the request and the
// bytes.
func stage(t testing.TB, size int, seed byte) (ingest.Put, []byte) {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content)
	path := filepath.Join(t.TempDir(), "staged")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	sum := sha256.Sum256(content)
	return ingest.Put{
		Key: key, Path: path, Size: int64(size), SHA256: hex.EncodeToString(sum[:]),
		Metadata: map[string]string{"server": "acme", "path": "/out/report.csv", "mtime": "2026-11-23T10:00:00Z"},
	}, content
}

// stored reads the object under the key, bypassing the proxy.
func (b bundle) stored(t *testing.T) ([]byte, minio.ObjectInfo) {
	t.Helper()
	body, info, _, err := b.s3.Core.GetObject(t.Context(), b.s3.Bucket, key, minio.GetObjectOptions{})
	require.NoError(t, err)
	defer body.Close()
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	return content, info
}

// unfinished counts the unfinished uploads of the key.
func (b bundle) unfinished(t *testing.T) int {
	t.Helper()
	page, err := b.s3.Core.ListMultipartUploads(t.Context(), b.s3.Bucket, key, "", "", "", 100)
	require.NoError(t, err)
	return len(page.Uploads)
}

func (b bundle) requireStored(t *testing.T, req ingest.Put, content []byte, object ingest.Object) {
	t.Helper()
	got, info := b.stored(t)
	require.True(t, string(content) == string(got), "the stored bytes equal the local ones")
	require.Equal(t, ingest.Object{Bucket: b.s3.Bucket, Key: key, Size: req.Size, SHA256: req.SHA256, ETag: info.ETag, Checksum: object.Checksum}, object)
	require.Zero(t, b.unfinished(t))
}

func TestPutStoresAndVerifies(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{
		"empty": 0, "one byte": 1, "one part exactly": partSize, "one byte over a part": partSize + 1, "several parts": 3*partSize + 77,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			req, content := stage(t, size, 1)
			var last atomic.Int64
			req.Progress = func(done int64) {
				if done <= last.Swap(done) {
					t.Errorf("progress fell to %d", done)
				}
			}
			object, err := b.store.Put(t.Context(), req)
			require.NoError(t, err)
			b.requireStored(t, req, content, object)
			require.EqualValues(t, size, last.Load())
			_, info := b.stored(t)
			require.Equal(t, "acme", info.UserMetadata["Server"])
			require.Equal(t, "/out/report.csv", info.UserMetadata["Path"])
		})
	}
}

func TestPutTwiceSendsNothingAgain(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 100, "parts": 2*partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			req, content := stage(t, size, 2)
			first, err := b.store.Put(t.Context(), req)
			require.NoError(t, err)
			sent := b.proxy.partBytes.Load()
			second, err := b.store.Put(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, first, second)
			require.Equal(t, sent, b.proxy.partBytes.Load())
			b.requireStored(t, req, content, second)
		})
	}
}

func TestPutKeepsOtherContent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, content := stage(t, 1000, 3)
	object, err := b.store.Put(t.Context(), first)
	require.NoError(t, err)
	for _, size := range []int{1000, 999, 2 * partSize} {
		other, _ := stage(t, size, 4)
		_, err = b.store.Put(t.Context(), other)
		require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
	}
	b.requireStored(t, first, content, object)
}

// The key is taken between the check and the write: the store must reject the write.
func TestCreateOnceIsEnforcedByTheStore(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 100, "parts": partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			mine, _ := stage(t, size, 5)
			theirs, content := stage(t, size, 6)
			var once sync.Once
			b.proxy.harm(func(r *http.Request) bool {
				if r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || isComplete(r) {
					once.Do(func() {
						// The writer of another program, which does not touch our upload.
						_, err := b.s3.Core.PutObject(context.Background(), b.s3.Bucket, key, bytes.NewReader(content), theirs.Size, "", "", minio.PutObjectOptions{})
						if err != nil {
							t.Errorf("the other writer: %v", err)
						}
					})
				}
				return true
			}, nil)
			_, err := b.store.Put(t.Context(), mine)
			require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
			got, _ := b.stored(t)
			require.True(t, string(content) == string(got))
		})
	}
}

func TestPutResumesWithoutSendingStoredParts(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *objstore.Config) { cfg.Parallel = 1 })
	req, content := stage(t, 5*partSize+123, 7)
	ctx, kill := context.WithCancel(t.Context())
	b.proxy.harm(func(r *http.Request) bool {
		if isPart(r, "4") {
			kill()
			return false
		}
		return true
	}, nil)
	_, err := b.store.Put(ctx, req)
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, 3*partSize, b.proxy.partBytes.Load(), "three parts were sent before the kill")
	require.Equal(t, 1, b.unfinished(t))

	b.proxy.harm(nil, nil)
	b.proxy.partBytes.Store(0)
	var first atomic.Int64
	req.Progress = func(done int64) { first.CompareAndSwap(0, done) }
	object, err := b.store.Put(t.Context(), req)
	require.NoError(t, err)
	require.EqualValues(t, 2*partSize+123, b.proxy.partBytes.Load(), "only the missing parts were sent")
	require.EqualValues(t, partSize, first.Load(), "existing parts count as progress")
	b.requireStored(t, req, content, object)
}

// After a stop, Put finishes the parts in flight and starts no other; the next
// call resumes.
func TestPutStopsBetweenParts(t *testing.T) {
	t.Parallel()
	for name, parallel := range map[string]int{"one by one": 1, "side by side": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(cfg *objstore.Config) { cfg.Parallel = parallel })
			req, content := stage(t, 5*partSize+123, 17)
			stop := make(chan struct{})
			var once sync.Once
			b.proxy.harm(func(r *http.Request) bool {
				if isPart(r, "2") {
					once.Do(func() { close(stop) })
				}
				return true
			}, nil)
			stopping := req
			stopping.Stop = stop
			_, err := b.store.Put(t.Context(), stopping)
			require.ErrorIs(t, err, ingest.ErrStopped)
			sent := b.proxy.partBytes.Load()
			require.GreaterOrEqual(t, sent, int64(2*partSize), "the parts in flight are stored")
			require.LessOrEqual(t, sent, int64(3*partSize), "no part starts after the stop")

			b.proxy.partBytes.Store(0)
			object, err := b.store.Put(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, req.Size-sent, b.proxy.partBytes.Load(), "only the missing parts were sent")
			b.requireStored(t, req, content, object)
		})
	}
}

// A hanging store must not delay a worker that stops.
func TestPutStopsWaitingForAStoreThatHangs(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 4096, "parts": 2*partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(cfg *objstore.Config) { cfg.StopGrace = 10 * time.Millisecond })
			req, _ := stage(t, size, 18)
			stop := make(chan struct{})
			var once sync.Once
			b.proxy.harm(func(r *http.Request) bool {
				if r.Method == http.MethodPut {
					_, _ = io.Copy(io.Discard, r.Body)
					once.Do(func() { close(stop) })
					<-r.Context().Done()
					return false
				}
				return true
			}, nil)
			req.Stop = stop
			_, err := b.store.Put(t.Context(), req)
			require.ErrorIs(t, err, ingest.ErrStopped)
		})
	}
}

// An upload with parts of other bytes is neither used nor written to, and is
// removed once the object exists.
func TestPutLeavesForeignUploadsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req, content := stage(t, 2*partSize+5, 8)
	_, other := stage(t, partSize, 9)
	ctx := t.Context()
	foreign, err := b.s3.Core.NewMultipartUpload(ctx, b.s3.Bucket, key, minio.PutObjectOptions{})
	require.NoError(t, err)
	_, err = b.s3.Core.PutObjectPart(ctx, b.s3.Bucket, key, foreign, 1, bytes.NewReader(other), partSize, minio.PutObjectPartOptions{})
	require.NoError(t, err)
	b.proxy.harm(func(r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.Query().Get("uploadId") == foreign {
			t.Error("wrote to the foreign upload")
		}
		return true
	}, nil)
	object, err := b.store.Put(ctx, req)
	require.NoError(t, err)
	b.requireStored(t, req, content, object)
}

func TestConcurrentPutsMakeOneObject(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 4096, "parts": 3*partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			req, content := stage(t, size, 10)
			objects := make([]ingest.Object, 4)
			var group sync.WaitGroup
			for i := range objects {
				group.Go(func() {
					var err error
					if objects[i], err = b.store.Put(context.Background(), req); err != nil {
						t.Errorf("put %d: %v", i, err)
					}
				})
			}
			group.Wait()
			for _, object := range objects {
				b.requireStored(t, req, content, object)
			}
		})
	}
}

func TestConcurrentPutsOfDifferentContentHaveOneWinner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reqs, contents := make([]ingest.Put, 2), make([][]byte, 2)
	errs := make([]error, 2)
	var group sync.WaitGroup
	for i := range reqs {
		reqs[i], contents[i] = stage(t, 2*partSize+9, byte(20+i))
		group.Go(func() { _, errs[i] = b.store.Put(context.Background(), reqs[i]) })
	}
	group.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	require.NoError(t, errs[winner])
	require.Equal(t, ingest.KindConflict, ingest.KindOf(errs[1-winner]), "%v", errs[1-winner])
	got, info := b.stored(t)
	require.True(t, string(contents[winner]) == string(got))
	require.Equal(t, reqs[winner].SHA256, info.UserMetadata["Sha256"])
}

func TestDamageInTransitIsRejected(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 4096, "parts": 2*partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			req, content := stage(t, size, 11)
			b.proxy.harm(func(r *http.Request) bool {
				if r.Method == http.MethodPut && (size < partSize || isPart(r, "2")) {
					flipByte(t, r)
				}
				return true
			}, nil)
			_, err := b.store.Put(t.Context(), req)
			require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
			require.ErrorContains(t, err, "rejected damaged bytes")
			b.proxy.harm(nil, nil)
			object, err := b.store.Put(t.Context(), req)
			require.NoError(t, err)
			b.requireStored(t, req, content, object)
		})
	}
}

func TestLostResponseIsNotAConflict(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 4096, "parts": 2*partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			req, content := stage(t, size, 12)
			written := func(r *http.Request) bool {
				return isComplete(r) || size < partSize && r.Method == http.MethodPut
			}
			// All responses are lost at first: of the write, its retries and the reads after it.
			var wrote atomic.Bool
			b.proxy.harm(nil, func(r *http.Request) bool {
				if written(r) {
					wrote.Store(true)
				}
				return wrote.Load()
			})
			_, err := b.store.Put(t.Context(), req)
			require.Equal(t, ingest.KindTransient, ingest.KindOf(err), "%v", err)

			b.proxy.harm(nil, nil)
			b.proxy.partBytes.Store(0)
			object, err := b.store.Put(t.Context(), req)
			require.NoError(t, err)
			require.Zero(t, b.proxy.partBytes.Load())
			b.requireStored(t, req, content, object)

			// The client itself retries after a single lost response.
			require.NoError(t, b.s3.Core.RemoveObject(t.Context(), b.s3.Bucket, key, minio.RemoveObjectOptions{}))
			var dropped atomic.Bool
			b.proxy.harm(nil, func(r *http.Request) bool { return written(r) && dropped.CompareAndSwap(false, true) })
			object, err = b.store.Put(t.Context(), req)
			require.NoError(t, err)
			require.True(t, dropped.Load())
			b.requireStored(t, req, content, object)
		})
	}
}

func TestChangedStagingIsNeverStored(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 4096, "parts": 2*partSize + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			req, content := stage(t, size, 13)
			content[size-1] ^= 1
			require.NoError(t, os.WriteFile(req.Path, content, 0o600))
			_, err := b.store.Put(t.Context(), req)
			require.Equal(t, ingest.KindHashMismatch, ingest.KindOf(err), "%v", err)
			require.NoError(t, os.WriteFile(req.Path, content[1:], 0o600))
			_, err = b.store.Put(t.Context(), req)
			require.Equal(t, ingest.KindHashMismatch, ingest.KindOf(err), "%v", err)
			require.NoError(t, os.Remove(req.Path))
			_, err = b.store.Put(t.Context(), req)
			require.Equal(t, ingest.KindStagingLost, ingest.KindOf(err), "%v", err)
			_, err = b.s3.Core.StatObject(t.Context(), b.s3.Bucket, key, minio.StatObjectOptions{})
			require.Equal(t, minio.NoSuchKey, minio.ToErrorResponse(err).Code)
		})
	}
}

func TestCancelStopsPromptly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req, _ := stage(t, 4*partSize, 14)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	var once sync.Once
	b.proxy.harm(func(r *http.Request) bool {
		if isPart(r, "1") {
			_, _ = io.Copy(io.Discard, r.Body)
			once.Do(func() { close(started) })
			<-r.Context().Done() // the store hangs
			return false
		}
		return true
	}, nil)
	result := make(chan error, 1)
	go func() { _, err := b.store.Put(ctx, req); result <- err }()
	<-started
	cancel()
	select {
	case err := <-result:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		t.Fatal("put did not stop")
	}
}

func TestMetadataHoldsAnyPath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paths := map[string]string{
		"cyrillic":   "/исходящие/отчёт 1%.csv",
		"not utf-8":  "/out/\xff\xfe  two  spaces \n",
		"every byte": string(allBytes()),
	}
	for name, path := range paths {
		req, _ := stage(t, 10, 15)
		req.Key = "meta/" + name
		req.Metadata["path"] = path
		_, err := b.store.Put(t.Context(), req)
		require.NoError(t, err, name)
		info, err := b.s3.Core.StatObject(t.Context(), b.s3.Bucket, req.Key, minio.StatObjectOptions{})
		require.NoError(t, err, name)
		got, err := url.PathUnescape(info.UserMetadata["Path"])
		require.NoError(t, err, name)
		require.Equal(t, path, got, name)
	}
	// The longest path of SFTP servers on Linux, at three bytes a character: stored
	// with a truncated path.
	req, _ := stage(t, 2*partSize, 16)
	for len(req.Metadata["path"]) < 4096 {
		req.Metadata["path"] += "/ж"
	}
	_, err := b.store.Put(t.Context(), req)
	require.NoError(t, err)
	_, info := b.stored(t)
	require.Equal(t, "path", info.UserMetadata["Truncated"])
	got, err := url.PathUnescape(info.UserMetadata["Path"])
	require.NoError(t, err)
	require.Greater(t, len(got), 500)
}
