package objstore

import (
	"context"
	"strings"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// content is the expected content of an object.
type content struct {
	key  string
	size int64
	// sha256 is the hash of all bytes in lower-case hex.
	sha256 string
	// parts are the parts of a direct transfer; nil for other objects.
	parts []ingest.Part
	// moved, if not nil, is called while an object is read.
	moved func()
}

// find returns the object under the key if it has the content, nil if there is
// none, and KindConflict if it has other content.
func (s *Store) find(ctx context.Context, want content) (*ingest.Object, error) {
	info, err := s.core.StatObject(ctx, s.bucket, want.key, minio.StatObjectOptions{Checksum: true})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(ctx, err, "stat object "+want.key)
	}
	object := objectOf(s.bucket, want.key, info)
	same, err := s.same(ctx, object, want)
	if err != nil {
		return nil, err
	}
	if !same {
		return nil, s.conflict(want, object)
	}
	return &object, nil
}

func (s *Store) conflict(want content, object ingest.Object) error {
	return ingest.Errorf(ingest.KindConflict,
		"object %s in bucket %s has other content (%d bytes, sha256 %q; expected %d bytes, sha256 %q): it was not changed; find its writer, then remove it and retry, or skip the file",
		want.key, s.bucket, object.Size, object.SHA256, want.size, want.sha256)
}

// same reports whether the object has the content, by the cheapest available
// proof: the store's checksum, the SHA-256 in its metadata, or the ETag. Without
// one, as for an object of a direct transfer with other part boundaries, the
// object is read.
func (s *Store) same(ctx context.Context, object ingest.Object, want content) (bool, error) {
	if object.Size != want.size {
		return false, nil
	}
	if object.Checksum != "" && !isComposite(object.Checksum) {
		return object.Checksum == hexToBase64(want.sha256), nil
	}
	if proves(object, want.parts) {
		return true, nil
	}
	if object.SHA256 != "" {
		return object.SHA256 == want.sha256, nil
	}
	read, found, err := s.read(ctx, s.bucket, want.key, want.moved)
	return found && read.Size == want.size && read.SHA256 == want.sha256, err
}

// objectOf returns the object described by a HEAD response.
func objectOf(bucket, key string, info minio.ObjectInfo) ingest.Object {
	return ingest.Object{
		Bucket: bucket, Key: key, Size: info.Size, SHA256: digestOf(info), ETag: info.ETag,
		Checksum: withCount(info.ChecksumSHA256, info.ETag),
	}
}

// digestOf returns our digest from the metadata. Stores change the case of its keys.
func digestOf(info minio.ObjectInfo) string {
	for key, value := range info.UserMetadata {
		if strings.EqualFold(key, sha256Key) {
			return value
		}
	}
	return ""
}
