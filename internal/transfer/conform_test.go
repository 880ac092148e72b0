package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

// TestPartWritersConform runs one suite on sink and on package objstore, whose own suite compares
// S3Double with real object stores.
func TestPartWritersConform(t *testing.T) {
	t.Parallel()
	t.Run("sink", func(t *testing.T) {
		t.Parallel()
		conform(t, &sink{}, "upload")
	})
	t.Run("objstore", func(t *testing.T) {
		t.Parallel()
		s3 := services.StartS3Double(t, nil).S3
		store, err := objstore.New(objstore.Config{
			Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Bucket: s3.Bucket, Region: s3.Region, UseTLS: s3.UseTLS,
		})
		require.NoError(t, err)
		t.Cleanup(store.Close)
		id, err := store.BeginUpload(t.Context(), "key", nil)
		require.NoError(t, err)
		conform(t, store, id)
	})
}

func conform(t *testing.T, to PartWriter, uploadID string) {
	put := func(ctx context.Context, number int, body string, sum [32]byte) (ingest.Part, error) {
		return to.PutPart(ctx, ingest.PutPart{Key: "key", UploadID: uploadID, Number: number, Body: []byte(body), SHA256: sum})
	}
	first, err := put(t.Context(), 1, "first", sha256.Sum256([]byte("first")))
	require.NoError(t, err)
	sum := sha256.Sum256([]byte("first"))
	require.Equal(t, ingest.Part{Number: 1, Size: 5, ETag: first.ETag, SHA256: base64.StdEncoding.EncodeToString(sum[:])}, first)
	require.NotEmpty(t, first.ETag)
	again, err := put(t.Context(), 1, "first", sum)
	require.NoError(t, err)
	require.Equal(t, first, again)
	replaced, err := put(t.Context(), 1, "other", sha256.Sum256([]byte("other")))
	require.NoError(t, err)
	require.NotEqual(t, first.ETag, replaced.ETag)

	_, err = put(t.Context(), 2, "damaged", sum)
	require.Error(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = put(canceled, 2, "first", sum)
	require.ErrorIs(t, err, context.Canceled)
}
