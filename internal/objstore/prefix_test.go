package objstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

// Stores list unfinished uploads by prefix, and one key may be a prefix of another.
func TestUploadsOfOtherKeysAreIgnored(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) services.S3{
		"double":    func(t *testing.T) services.S3 { return services.StartS3Double(t, nil).S3 },
		"versitygw": func(t *testing.T) services.S3 { return services.VersityGW(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := start(t)
			store, err := objstore.New(objstore.Config{
				Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Bucket: s3.Bucket, Region: s3.Region, PartSize: partSize,
			})
			require.NoError(t, err)
			t.Cleanup(store.Close)
			req, content := stage(t, 2*partSize, 8)
			longer := key + ".sig"
			other := beginDirect(t, store, longer, []int{partSize}, 8) // it begins with the same bytes

			object, err := store.Put(t.Context(), req)
			require.NoError(t, err)
			requireObject(t, store, s3, object, content)
			parts, err := s3.Core.ListObjectParts(t.Context(), s3.Bucket, longer, other.UploadID, 0, 10)
			require.NoError(t, err, "the other key's upload still exists")
			require.Len(t, parts.ObjectParts, 1)
		})
	}
}
