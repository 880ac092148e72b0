package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// maxWhole is the largest object that S3 takes in one request.
const maxWhole = 5 << 30

// signGivenDigest makes the client sign the digest it is given, or that there is
// none, instead of cutting the body into chunks that are signed one by one.
const signGivenDigest = true

// PutBytes stores a small file by one request, exactly once: the store compares
// the body with its SHA-256, returns that as the object's checksum, which is the
// proof, and refuses to replace an object. Only a store that returns no checksum
// is asked with a HEAD. The same content there already, which is what a repeated
// request finds after its answer was lost, is success; other content is left
// unchanged and is KindConflict. All other errors are those of Put.
func (s *Store) PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	if len(req.Body) > maxWhole {
		return ingest.Object{}, ingest.Errorf(ingest.KindInvalid, "%d bytes do not fit into one request", len(req.Body))
	}
	return s.putOnce(ctx, req)
}

func contentOf(req ingest.PutBytes) content {
	return content{key: req.Key, size: int64(len(req.Body)), sha256: req.SHA256, moved: req.Moved}
}

// putOnce writes the object, or finds the same one.
func (s *Store) putOnce(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	able, err := s.wholeAbilities(ctx)
	if err != nil {
		return ingest.Object{}, err
	}
	for range writeTries {
		object, err := s.putWhole(ctx, req, able)
		if !errors.Is(err, errRaced) {
			return object, err
		}
		found, err := s.find(ctx, contentOf(req))
		if err != nil {
			return ingest.Object{}, err
		}
		if found != nil {
			return *found, nil
		}
	}
	return ingest.Object{}, contested(req.Key)
}

// contested is the error for a key that never holds still.
func contested(key string) error {
	return ingest.Errorf(ingest.KindTransient, "object %s changed %d times while it was written: another writer uses the same key", key, writeTries)
}

// putWhole sends the request once and proves the object. It returns errRaced
// when the store has an object under the key.
func (s *Store) putWhole(ctx context.Context, req ingest.PutBytes, able abilities) (ingest.Object, error) {
	checksum, sent := hexToBase64(req.SHA256), ""
	if able.checksums {
		sent = checksum
	}
	stored, err := s.sendWhole(ctx, req, sent)
	if err != nil && raced(err) {
		return ingest.Object{}, errRaced
	}
	if err != nil {
		return ingest.Object{}, s.explain(ctx, err, "write object "+req.Key)
	}
	switch {
	case stored.ChecksumSHA256 == checksum:
	case able.checksums:
		return s.proveBytes(ctx, contentOf(req))
	default:
		return s.prove(ctx, contentOf(req))
	}
	return ingest.Object{
		Bucket: s.bucket, Key: req.Key, Size: int64(len(req.Body)), SHA256: req.SHA256, ETag: stored.ETag, Checksum: checksum,
	}, nil
}

// proveBytes reads an object back that was sent with nothing but a checksum to a
// store that then did not return it: it is not the store that was tried.
func (s *Store) proveBytes(ctx context.Context, want content) (ingest.Object, error) {
	read, found, err := s.read(ctx, s.bucket, want.key, want.moved)
	switch {
	case err != nil:
		return ingest.Object{}, err
	case found && (read.Size != want.size || read.SHA256 != want.sha256):
		return ingest.Object{}, s.conflict(want, read)
	}
	return s.prove(ctx, want)
}

// sendWhole makes the request. A checksum stands in a header that is signed, so
// that the body need not be: stores would hash it twice. Without a checksum the
// body's SHA-256 is signed, and its MD5 stored.
func (s *Store) sendWhole(ctx context.Context, req ingest.PutBytes, checksum string) (minio.UploadInfo, error) {
	opts, signed, md5 := objectOptions(req.Metadata, req.SHA256), "", ""
	if checksum != "" {
		opts.UserMetadata[checksumHeader] = checksum
	} else {
		signed, md5 = req.SHA256, md5Base64(req.Body)
	}
	opts.DisableContentSha256 = signGivenDigest
	opts.SetMatchETagExcept("*")
	return s.core.PutObject(ctx, s.bucket, req.Key, bodyOf(req.Body, req.Moved), int64(len(req.Body)), md5, signed, opts)
}

// prove asks the store what it has, where its answer to the write did not say.
func (s *Store) prove(ctx context.Context, want content) (ingest.Object, error) {
	found, err := s.find(ctx, want)
	if err != nil {
		return ingest.Object{}, err
	}
	if found == nil {
		return ingest.Object{}, ingest.Errorf(ingest.KindTransient, "the store at %s does not have object %s, which it has just taken: it is written again", s.endpoint, want.key)
	}
	return *found, nil
}

// objectOptions are those of whatever creates the object. "If-None-Match: *",
// which makes the store refuse to replace one, goes with the request that makes
// the object visible: not every store takes it at the start of an upload.
func objectOptions(metadata map[string]string, sha256 string) minio.PutObjectOptions {
	return minio.PutObjectOptions{UserMetadata: userMetadata(metadata, sha256), ContentType: "application/octet-stream"}
}

// bodyOf returns a request's body, which calls moved, if not nil, when bytes are
// taken from it. It can be sought: otherwise requests are not repeated.
func bodyOf(body []byte, moved func()) io.ReadSeeker {
	if moved == nil {
		return bytes.NewReader(body)
	}
	return &watchedBody{bytes: bytes.NewReader(body), moved: moved}
}

type watchedBody struct {
	bytes *bytes.Reader // not embedded: its WriteTo would not call moved
	moved func()
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.bytes.Read(p)
	if n > 0 {
		b.moved()
	}
	return n, err
}

// Seek implements io.Seeker.
func (b *watchedBody) Seek(offset int64, whence int) (int64, error) {
	return b.bytes.Seek(offset, whence)
}
