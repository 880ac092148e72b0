package objstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
)

func isUploadPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}

func TestDirectUploadIsProvenByItsAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := beginDirect(t, b.store, key, []int{partSize, partSize, 5}, 1)
	var seen requests
	b.proxy.harm(seen.note, nil)
	object, err := b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.NoError(t, err)
	require.Equal(t, map[string]int{http.MethodPost: 1}, seen.counts)
	require.Empty(t, object.SHA256)
	require.Regexp(t, `=-3$`, object.Checksum)
}

func TestLostResponseToCompleteIsNoConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := beginDirect(t, b.store, key, []int{partSize, 5}, 2)
	var done atomic.Bool
	b.proxy.harm(nil, func(r *http.Request) bool {
		if isComplete(r) {
			done.Store(true)
		}
		return done.Load()
	})
	_, err := b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err), "%v", err)
	b.proxy.harm(nil, nil)
	object, err := b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.NoError(t, err, "the upload is missing, the object is ours")
	requireObject(t, b.store, b.s3, object, d.content)

	require.NoError(t, b.s3.Core.RemoveObject(t.Context(), b.s3.Bucket, key, minio.RemoveObjectOptions{}))
	_, err = b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.ErrorContains(t, err, "the transfer restarts")
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	_, err = b.store.PutPart(t.Context(), ingest.PutPart{Key: key, UploadID: d.UploadID, Number: 1, SHA256: sha256.Sum256(nil)})
	require.ErrorContains(t, err, "the transfer restarts")
}

// The key is taken just before the upload is completed.
func TestDirectUploadDoesNotReplaceAnObject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := beginDirect(t, b.store, key, []int{partSize, 5}, 3)
	other := beginDirect(t, b.store, key, []int{partSize, 5}, 4)
	var once sync.Once
	b.proxy.harm(func(r *http.Request) bool {
		if isComplete(r) {
			once.Do(func() {
				_, err := b.s3.Core.PutObject(context.Background(), b.s3.Bucket, key, bytes.NewReader(other.content), int64(len(other.content)), "", "", minio.PutObjectOptions{})
				if err != nil {
					t.Errorf("the other writer: %v", err)
				}
			})
		}
		return true
	}, nil)
	_, err := b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
	got, _ := b.stored(t)
	require.True(t, string(other.content) == string(got))
}

// The same bytes are the same object in every mode.
func TestModesRecognizeEachOthersObjects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	staged, content := stage(t, 3*partSize, 5)
	object, err := b.store.Put(t.Context(), staged)
	require.NoError(t, err)
	d := beginDirect(t, b.store, key, []int{2 * partSize, partSize}, 5)
	found, err := b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.NoError(t, err)
	require.Equal(t, object, found)

	require.NoError(t, b.s3.Core.RemoveObject(t.Context(), b.s3.Bucket, key, minio.RemoveObjectOptions{}))
	d = beginDirect(t, b.store, key, []int{2 * partSize, partSize}, 5)
	object, err = b.store.CompleteUpload(t.Context(), d.CompleteUpload)
	require.NoError(t, err)
	found, err = b.store.Put(t.Context(), staged)
	require.NoError(t, err)
	require.Equal(t, object, found)
	requireObject(t, b.store, b.s3, object, content)
}

func TestDamagedPartIsRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, err := b.store.BeginUpload(t.Context(), key, nil)
	require.NoError(t, err)
	b.proxy.harm(func(r *http.Request) bool {
		if isUploadPart(r) {
			flipByte(t, r)
		}
		return true
	}, nil)
	body := bytes.Repeat([]byte("x"), 1000)
	_, err = b.store.PutPart(t.Context(), ingest.PutPart{Key: key, UploadID: id, Number: 1, Body: body, SHA256: sha256.Sum256(body)})
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "rejected damaged bytes")
}

// An upload from a version without part checksums is resumed.
func TestPutResumesAnUploadWithoutChecksums(t *testing.T) {
	t.Parallel()
	b := setup(t)
	req, content := stage(t, 3*partSize, 6)
	ctx := t.Context()
	id, err := b.s3.Core.NewMultipartUpload(ctx, b.s3.Bucket, key, minio.PutObjectOptions{UserMetadata: map[string]string{"sha256": req.SHA256}})
	require.NoError(t, err)
	_, err = b.s3.Core.PutObjectPart(ctx, b.s3.Bucket, key, id, 1, bytes.NewReader(content[:partSize]), partSize, minio.PutObjectPartOptions{})
	require.NoError(t, err)
	object, err := b.store.Put(ctx, req)
	require.NoError(t, err)
	require.EqualValues(t, 2*partSize, b.proxy.partBytes.Load(), "only the missing parts were sent")
	b.requireStored(t, req, content, object)
}

// A bit that flips in staging during the upload is detected before the object is
// visible.
func TestBitFlippedWhileUploadedIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *objstore.Config) { cfg.Parallel = 1 })
	req, content := stage(t, 4*partSize, 7)
	var once sync.Once
	b.proxy.harm(func(r *http.Request) bool {
		if isPart(r, "1") {
			once.Do(func() { flipInFile(t, req.Path, content, 4*partSize-1) })
		}
		return true
	}, nil)
	_, err := b.store.Put(t.Context(), req)
	require.Equal(t, ingest.KindHashMismatch, ingest.KindOf(err), "%v", err)
	_, found, err := b.store.Head(t.Context(), b.s3.Bucket, key)
	require.NoError(t, err)
	require.False(t, found)
}
