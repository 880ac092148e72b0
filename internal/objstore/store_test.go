package objstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

var _ activities.Objects = (*objstore.Store)(nil)

func allBytes() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func TestMissingBucketIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *objstore.Config) { cfg.Bucket += "-none" })
	for _, size := range []int{10, 2 * partSize} {
		req, _ := stage(t, size, 30)
		_, err := b.store.Put(t.Context(), req)
		require.Equal(t, ingest.KindMissing, ingest.KindOf(err), "%v", err)
		require.ErrorContains(t, err, "bucket "+b.s3.Bucket+"-none does not exist on 127.0.0.1:")
		require.ErrorContains(t, err, "run `stevedore setup`")
	}
	require.Equal(t, ingest.KindMissing, ingest.KindOf(b.store.Ping(t.Context())))
}

func TestEnsureBucket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.s3.Core.RemoveBucket(t.Context(), b.s3.Bucket))
	require.NoError(t, b.store.EnsureBucket(t.Context()))
	require.NoError(t, b.store.EnsureBucket(t.Context()))
	require.NoError(t, b.store.Ping(t.Context()))
	require.Equal(t, b.s3.Bucket, b.store.Bucket())
}

func TestRejectedKeyIsTransient(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*objstore.Config){
		"unknown key":  func(cfg *objstore.Config) { cfg.AccessKey = "nobodyknows" },
		"wrong secret": func(cfg *objstore.Config) { cfg.SecretKey = "wrong-secret-key" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, spoil)
			req, _ := stage(t, 10, 31)
			_, err := b.store.Put(t.Context(), req)
			for _, err := range []error{err, b.store.Ping(t.Context()), b.store.EnsureBucket(t.Context())} {
				require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
				require.ErrorContains(t, err, "rejected the access key")
				require.ErrorContains(t, err, "STEVEDORE_S3_SECRET_KEY")
				require.NotContains(t, err.Error(), "wrong-secret-key")
				require.NotContains(t, err.Error(), b.s3.SecretKey)
				require.NotContains(t, err.Error(), "unknown-key")
			}
		})
	}
}

func TestUnreachableStoreIsNamed(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", services.FreePort(t))
	store, err := objstore.New(objstore.Config{Endpoint: address, AccessKey: "a", SecretKey: "hushhush", Bucket: "bucket"})
	require.NoError(t, err)
	req, _ := stage(t, 10, 32)
	_, err = store.Put(t.Context(), req)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "the store at "+address+" cannot be reached")
	require.NotContains(t, err.Error(), "hushhush")
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, cfg := range []objstore.Config{
		{Bucket: "b"}, {Endpoint: "h:1"}, {Endpoint: "http://h:1/x", Bucket: "b"}, {Endpoint: "h:1", Bucket: "b", PartSize: 1},
	} {
		_, err := objstore.New(cfg)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), "%+v: %v", cfg, err)
	}
}

func TestOversizedFileIsRejected(t *testing.T) {
	t.Parallel()
	store, err := objstore.New(objstore.Config{Endpoint: "127.0.0.1:1", Bucket: "b"})
	require.NoError(t, err)
	_, err = store.Put(t.Context(), ingest.Put{Key: "k", Size: 5<<40 + 1})
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	require.ErrorContains(t, err, "5 TiB")
}
