package faults_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/test/sandbox"
)

// TestFault45_OrphanUploads leaves one abandoned upload while another one is unfinished
// but active.
func TestFault45_OrphanUploads(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy := newStoreProxy(t, h)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "done.bin", sandbox.Random(1000))
	h.StartWorker(t)
	h.ScanAndWait(t)
	done := h.Completed(t, acme.Path("done.bin"))
	h.AwaitIngest(t, done.UUID)

	release := make(chan struct{})
	proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPart(r, "3") {
			<-release
		}
		return false
	}, nil)
	acme.Write(t, "live.bin", sandbox.Random(40<<20))
	scan := h.Scan(t)
	sandbox.Eventually(t, func() bool { return proxy.taken("1") == 1 && proxy.taken("2") == 1 }, sandbox.Timeout, tick)
	orphan, err := h.S3.Core.NewMultipartUpload(h.Context(t), h.S3.Bucket, done.ObjectKey, minio.PutObjectOptions{})
	require.NoError(t, err)
	_, err = h.S3.Core.PutObjectPart(h.Context(t), h.S3.Bucket, done.ObjectKey, orphan, 1, bytes.NewReader([]byte("left")), 4, minio.PutObjectPartOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, h.S3.OpenUploads(t))

	assert.EqualValues(t, 1, h.Reconcile(t).UploadsAborted)
	assert.Equal(t, 1, h.S3.OpenUploads(t), "the upload in progress is kept")

	close(release)
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, h.Completed(t, acme.Path("live.bin")).UUID)
	assert.Equal(t, 1, proxy.taken("1"), "the upload resumes after the stored parts")
	h.RequireExactlyOnce(t)
}
