package faults_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/sandbox"
)

// sizes are the size of a file that is stored by one request and of one stored in two
// parts.
var sizes = map[string]int{"in one request": 30_000, "in parts": 18 << 20}

// TestFault38_KillBetweenParts kills the worker when two of four parts are stored; the
// next one sends the other two.
func TestFault38_KillBetweenParts(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy := newStoreProxy(t, h)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(50<<20))
	killed := make(chan struct{})
	var held atomic.Int32
	proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPart(r, "3") || isPart(r, "4") {
			held.Add(1)
			<-killed
			panic(http.ErrAbortHandler)
		}
		return false
	}, nil)
	env := []string{"STEVEDORE_S3_ENDPOINT=" + proxy.Address}
	first := h.StartProcess(t, sandbox.ProcessOptions{Env: env})
	scan := h.ScanAsync(t)
	sandbox.Eventually(t, func() bool {
		return proxy.taken("1") == 1 && proxy.taken("2") == 1 && held.Load() > 0
	}, sandbox.Timeout, tick)
	first.Kill()
	proxy.inject(nil, nil)
	close(killed)
	require.Equal(t, 1, h.S3.OpenUploads(t), "the upload does not stop halfway")

	h.StartProcess(t, sandbox.ProcessOptions{Env: env})
	h.AwaitScans(t, scan())
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.bin")).UUID)
	for _, part := range []string{"1", "2", "3", "4"} {
		assert.Equal(t, 1, proxy.taken(part), "part %s was not sent once", part)
	}
	h.RequireExactlyOnce(t)
}

// TestFault39_AnswerToCompleteLost drops the store's response to the request that creates
// the object.
func TestFault39_AnswerToCompleteLost(t *testing.T) {
	t.Parallel()
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			proxy := newStoreProxy(t, h)
			var creations atomic.Int32
			proxy.inject(nil, func(r *http.Request) bool { return creates(r) && creations.Add(1) == 1 })
			file := ingestOne(t, h, size)
			assert.Equal(t, 1, proxy.lostAnswers())
			assert.Nil(t, sandbox.Detail(h.Events(t, file.UUID), ingest.EventRetryScheduled, "message"), "the attempt must recognize its own object")
			h.RequireExactlyOnce(t)
		})
	}
}

// TestFault40_TwoWorkersSameKey: two writers, each with its own connection to the store,
// send the request that creates the object at the same time.
func TestFault40_TwoWorkersSameKey(t *testing.T) {
	t.Parallel()
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			proxy := newStoreProxy(t, h)
			var arrived sync.WaitGroup
			var creations atomic.Int32
			arrived.Add(2)
			proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
				if creates(r) && creations.Add(1) <= 2 {
					arrived.Done()
					arrived.Wait()
				}
				return false
			}, nil)
			other, err := objstore.New(objstore.Config{
				Endpoint: proxy.Address, AccessKey: h.S3.AccessKey, SecretKey: h.S3.SecretKey, Bucket: h.S3.Bucket,
			})
			require.NoError(t, err)
			t.Cleanup(other.Close)
			acme := h.AddServer(t, "acme", sandbox.Staged)
			acme.Write(t, "a.bin", sandbox.Random(size))
			h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
				d.Objects = doubleWriter{Objects: d.Objects, other: other, both: func(ours, theirs ingest.Object, theirErr error) {
					assert.NoError(t, theirErr)
					assert.Equal(t, ours, theirs, "both attempts return the same object")
				}}
				return d
			})
			h.ScanAndWait(t)
			assert.GreaterOrEqual(t, creations.Load(), int32(2))
			assert.Equal(t, 1, proxy.refused("PreconditionFailed")+proxy.refused("NoSuchUpload"), "neither attempt was refused")
			h.RequireExactlyOnce(t)
		})
	}
}

// doubleWriter writes every object twice, concurrently.
type doubleWriter struct {
	activities.Objects
	other *objstore.Store
	both  func(ours, theirs ingest.Object, theirErr error)
}

func (w doubleWriter) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	var theirs ingest.Object
	var theirErr error
	var both sync.WaitGroup
	both.Go(func() {
		theirReq := req
		theirReq.Progress = nil
		theirs, theirErr = w.other.Put(ctx, theirReq)
	})
	ours, err := w.Objects.Put(ctx, req)
	both.Wait()
	w.both(ours, theirs, theirErr)
	return ours, err
}

// TestFault41_SlowDown answers so many requests with 503 that the client's own retries
// are exhausted several times.
func TestFault41_SlowDown(t *testing.T) {
	t.Parallel()
	const refusals = 8
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			var refused atomic.Int32
			newStoreProxy(t, h).inject(func(w http.ResponseWriter, r *http.Request) bool {
				if !isWrite(r) || refused.Add(1) > refusals {
					return false
				}
				refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
				return true
			}, nil)
			file := ingestOne(t, h, size)
			assert.Greater(t, refused.Load(), int32(refusals))
			requireRetryRecorded(t, h, file.UUID, "reduce your request rate")
			h.RequireExactlyOnce(t)
		})
	}
}

// TestFault41_StoreUnavailableForASmallFile: a file that cannot be stored is staged meanwhile,
// because its source may be gone when the store is back.
func TestFault41_StoreUnavailableForASmallFile(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy := newStoreProxy(t, h)
	proxy.inject(func(w http.ResponseWriter, r *http.Request) bool {
		refuse(w, r, http.StatusServiceUnavailable, "ServiceUnavailable", "The store is unavailable.")
		return true
	}, nil)
	acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.Transfer = ingest.TransferAuto })
	content := sandbox.Random(1000)
	acme.Write(t, "a.bin", content)
	h.StartWorker(t)
	scan := h.Scan(t)
	staged := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.Hash != "" })
	require.NoError(t, os.Remove(acme.Path("a.bin")))
	proxy.inject(nil, nil)
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, staged.UUID)
	acme.Write(t, "a.bin", content) // the audit compares with the source
	h.RequireExactlyOnce(t)
}

// TestFault42_StoreFull keeps the store full until the file reports its reason for
// waiting. The source, which is deleted after ingest, must not be deleted before.
func TestFault42_StoreFull(t *testing.T) {
	t.Parallel()
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			proxy := newStoreProxy(t, h)
			proxy.inject(func(w http.ResponseWriter, r *http.Request) bool {
				if isWrite(r) {
					refuse(w, r, http.StatusInsufficientStorage, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
				}
				return isWrite(r)
			}, nil)
			acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.AfterIngest, s.Transfer = ingest.AfterDelete, ingest.TransferStaged })
			content := sandbox.Random(size)
			acme.Write(t, "a.bin", content)
			h.StartWorker(t)
			scan := h.Scan(t)
			waiting := h.File(t, acme.Path("a.bin"), waitsFor("has no space for bucket "+h.S3.Bucket))
			assert.Equal(t, ingest.StatusUploading, waiting.Status)
			sandbox.Eventually(t, func() bool { attempt, _ := runningStep(t, h, waiting.UUID); return attempt >= 3 }, sandbox.Timeout, tick)
			assert.FileExists(t, acme.Path("a.bin"), "the source is the only copy")

			proxy.inject(nil, nil)
			h.AwaitScans(t, scan)
			h.AwaitIngest(t, waiting.UUID)
			requireRetryRecorded(t, h, waiting.UUID, "has no space")
			assert.NoFileExists(t, acme.Path("a.bin"))
			acme.Write(t, "a.bin", content) // the audit compares with the source
			h.RequireExactlyOnce(t)
		})
	}
}

// TestFault43_PartDamagedInTransit flips a bit of a request's body after it was read and
// signed.
func TestFault43_PartDamagedInTransit(t *testing.T) {
	t.Parallel()
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			proxy := newStoreProxy(t, h)
			var writes atomic.Int32
			proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
				if isWrite(r) && writes.Add(1) == 1 {
					flipInBody(t, r)
				}
				return false
			}, nil)
			file := ingestOne(t, h, size)
			assert.Equal(t, 1, proxy.refused("XAmzContentChecksumMismatch"), "the store accepted damaged bytes")
			requireRetryRecorded(t, h, file.UUID, "rejected damaged bytes")
			h.RequireExactlyOnce(t)
		})
	}
}

// TestFault44_KeysRevoked makes the store reject the access key in the middle of an
// upload.
func TestFault44_KeysRevoked(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy := newStoreProxy(t, h)
	proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if !isPart(r, "1") && proxy.taken("1") > 0 || isPart(r, "2") {
			signed := r.Header.Get("Authorization")
			r.Header.Set("Authorization", strings.Replace(signed, "Credential="+h.S3.AccessKey, "Credential=REVOKED", 1))
		}
		return false
	}, nil)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(40<<20))
	h.StartWorker(t)
	scan := h.Scan(t)
	waiting := h.File(t, acme.Path("a.bin"), waitsFor("rejected the access key"))
	assert.Equal(t, ingest.StatusUploading, waiting.Status)
	assert.NotContains(t, waiting.ErrorMessage, h.S3.SecretKey)
	sandbox.Eventually(t, func() bool { attempt, _ := runningStep(t, h, waiting.UUID); return attempt >= 3 }, sandbox.Timeout, tick)
	assert.Positive(t, proxy.refused("InvalidAccessKeyId"))

	proxy.inject(nil, nil)
	h.AwaitScans(t, scan)
	// The response to the first part may be lost when the second is refused; the store
	// has it nevertheless.
	assert.LessOrEqual(t, proxy.taken("1"), 1, "earlier objects are kept")
	requireRetryRecorded(t, h, waiting.UUID, "rejected the access key")
	h.RequireExactlyOnce(t)
}

// TestFault44_WrongKeys starts with a wrong secret key; a worker with the right one
// continues.
func TestFault44_WrongKeys(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	wrong := h.Cfg
	wrong.S3.SecretKey = "not the secret key"
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	stop := h.StartWorkerWith(t, wrong, nil)
	scan := h.Scan(t)
	waiting := h.File(t, acme.Path("a.bin"), waitsFor("STEVEDORE_S3_SECRET_KEY"))
	stop()
	h.StartWorker(t)
	h.AwaitScans(t, scan)
	requireRetryRecorded(t, h, waiting.UUID, "STEVEDORE_S3_SECRET_KEY")
	h.RequireExactlyOnce(t)
}

// creates reports whether the request makes an object visible.
func creates(r *http.Request) bool {
	return isComplete(r) || isWrite(r) && !r.URL.Query().Has("partNumber")
}

// ingestOne ingests one file of the size.
func ingestOne(t *testing.T, h *sandbox.Cluster, size int) ingest.File {
	t.Helper()
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(size))
	h.StartWorker(t)
	h.ScanAndWait(t)
	return h.Completed(t, acme.Path("a.bin"))
}
