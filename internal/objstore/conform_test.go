package objstore_test

import (
	"context"
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

// conform checks the required behavior on stores with and without checksums.
func conform(t *testing.T, store *objstore.Store, s3 services.S3, checksums bool) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, store.Ping(ctx))
	require.Empty(t, s3.Objects(t), "the trial leaves no objects")
	require.Zero(t, s3.OpenUploads(t))
	t.Run("memory", func(t *testing.T) { conformMemory(t, store, s3) })
	t.Run("staged", func(t *testing.T) { conformStaged(t, store, s3) })
	t.Run("direct", func(t *testing.T) { conformDirect(t, store, s3) })
	t.Run("checksums", func(t *testing.T) {
		for _, key := range []string{"memory/small", "staged/parts", "direct/parts"} {
			object, _, err := store.Head(ctx, s3.Bucket, key)
			require.NoError(t, err)
			require.Equal(t, checksums, object.Checksum != "", key)
		}
	})
	t.Run("list", func(t *testing.T) {
		var keys []string
		require.NoError(t, store.List(ctx, "", func(o ingest.Object) error { keys = append(keys, o.Key); return nil }))
		require.Len(t, keys, 8)
		require.IsIncreasing(t, keys)
		require.Zero(t, s3.OpenUploads(t), "no upload remains")
	})
}

func conformMemory(t *testing.T, store *objstore.Store, s3 services.S3) {
	for name, size := range map[string]int{"empty": 0, "small": 100_000} {
		req := small(t, size, 1)
		req.Key = "memory/" + name
		object, err := store.PutBytes(t.Context(), req)
		require.NoError(t, err)
		requireObject(t, store, s3, object, req.Body)
		require.Equal(t, req.SHA256, object.SHA256)
		again, err := store.PutBytes(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, object, again)
		for _, size := range []int{max(size, 1), size + 1} {
			other := small(t, size, 2)
			other.Key = req.Key
			_, err = store.PutBytes(t.Context(), other)
			require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
		}
	}
}

func conformStaged(t *testing.T, store *objstore.Store, s3 services.S3) {
	for name, size := range map[string]int{"empty": 0, "one part": 5000, "parts": 2*partSize + 77} {
		req, content := stage(t, size, 3)
		req.Key = "staged/" + name
		object, err := store.Put(t.Context(), req)
		require.NoError(t, err)
		requireObject(t, store, s3, object, content)
		require.Equal(t, req.SHA256, object.SHA256)
		again, err := store.Put(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, object, again)
		for _, size := range []int{max(size, 1), size + 1} {
			other, _ := stage(t, size, 4)
			other.Key = req.Key
			_, err = store.Put(t.Context(), other)
			require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
		}
	}
	req, content := stage(t, 3*partSize, 5)
	req.Key = "staged/resumed"
	ctx, cancel := context.WithCancel(t.Context())
	stopping := req
	stopping.Stored = cancel
	_, err := store.Put(ctx, stopping)
	require.ErrorIs(t, err, context.Canceled)
	object, err := store.Put(t.Context(), req)
	require.NoError(t, err)
	requireObject(t, store, s3, object, content)
}

func conformDirect(t *testing.T, store *objstore.Store, s3 services.S3) {
	for name, parts := range map[string][]int{"one part": {1000}, "parts": {partSize, partSize, 33}} {
		d := beginDirect(t, store, "direct/"+name, parts, 6)
		holds, err := store.UploadHolds(t.Context(), d.Key, d.UploadID, d.Parts)
		require.NoError(t, err)
		require.True(t, holds)
		holds, err = store.UploadHolds(t.Context(), d.Key, d.UploadID, []ingest.Part{{Number: 9, Size: 1, ETag: "x"}})
		require.NoError(t, err)
		require.False(t, holds)
		_, found, err := store.Head(t.Context(), s3.Bucket, d.Key)
		require.NoError(t, err)
		require.False(t, found, "the object is invisible until complete")

		object, err := store.CompleteUpload(t.Context(), d.CompleteUpload)
		require.NoError(t, err)
		requireObject(t, store, s3, object, d.content)
		again, err := store.CompleteUpload(t.Context(), d.CompleteUpload)
		require.NoError(t, err, "a response may be lost")
		require.Equal(t, object, again)
		there, found, err := store.Completed(t.Context(), d.CompleteUpload)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, object, there)
		holds, err = store.UploadHolds(t.Context(), d.Key, d.UploadID, nil)
		require.NoError(t, err)
		require.False(t, holds)

		other := beginDirect(t, store, d.Key, parts, 7)
		_, err = store.CompleteUpload(t.Context(), other.CompleteUpload)
		require.Equal(t, ingest.KindConflict, ingest.KindOf(err), "%v", err)
		require.NoError(t, store.AbortUpload(t.Context(), d.Key, other.UploadID))
		require.NoError(t, store.AbortUpload(t.Context(), d.Key, other.UploadID))
	}
}

// requireObject checks an object with every method.
func requireObject(t *testing.T, store *objstore.Store, s3 services.S3, object ingest.Object, content []byte) {
	t.Helper()
	head, found, err := store.Head(t.Context(), s3.Bucket, object.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, object, head, "the result equals that of a HEAD")
	require.EqualValues(t, len(content), head.Size)
	read, found, err := store.Digest(t.Context(), s3.Bucket, object.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, hexSum(content), read.SHA256)
}

// direct is a direct transfer whose parts are stored.
type direct struct {
	ingest.CompleteUpload
	content []byte
}

// beginDirect uploads pseudo-random parts of the sizes.
func beginDirect(t *testing.T, store *objstore.Store, key string, sizes []int, seed byte) direct {
	t.Helper()
	var total int
	for _, size := range sizes {
		total += size
	}
	_, content := stage(t, total, seed)
	d := direct{content: content}
	d.Key, d.SHA256 = key, hexSum(content)
	id, err := store.BeginUpload(t.Context(), key, map[string]string{"server": "acme"})
	require.NoError(t, err)
	d.UploadID = id
	for i, size := range sizes {
		body := content[:size]
		content = content[size:]
		part, err := store.PutPart(t.Context(), ingest.PutPart{Key: key, UploadID: id, Number: i + 1, Body: body, SHA256: sha256.Sum256(body)})
		require.NoError(t, err)
		require.EqualValues(t, size, part.Size)
		d.Parts = append(d.Parts, part)
	}
	return d
}

func TestMinIOConforms(t *testing.T) {
	t.Parallel()
	conformOn(t, services.Bucket(t))
}

func TestVersityGWConforms(t *testing.T) {
	t.Parallel()
	conformOn(t, services.VersityGW(t))
}

// The test double must be as strict as a real store.
func TestS3DoubleConforms(t *testing.T) {
	t.Parallel()
	conformOn(t, services.StartS3Double(t, nil).S3)
}

func conformOn(t *testing.T, s3 services.S3) {
	store, err := objstore.New(objstore.Config{
		Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Bucket: s3.Bucket,
		Region: s3.Region, UseTLS: s3.UseTLS, PartSize: partSize,
	})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	conform(t, store, s3, true)
}
