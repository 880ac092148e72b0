package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// maxWhole is S3's limit for an object written by one request.
const maxWhole = 5 << 30

// signGivenDigest makes the client sign the given digest, or its absence, instead
// of signing the body in chunks.
const signGivenDigest = true

// PutBytes stores a small file by one request, exactly once. The store verifies
// the body's SHA-256, returns it as the object's checksum, and refuses to replace
// an object. If the store returns no checksum, a HEAD verifies the object. An
// existing object with the same content counts as success, because the response of
// an earlier attempt may have been lost. Other content is kept and is
// KindConflict. Other errors are as for Put.
func (s *Store) PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	if len(req.Body) > maxWhole {
		return ingest.Object{}, ingest.Errorf(ingest.KindInvalid, "%d bytes do not fit into one request", len(req.Body))
	}
	return s.putOnce(ctx, req)
}

func contentOf(req ingest.PutBytes) content {
	return content{key: req.Key, size: int64(len(req.Body)), sha256: req.SHA256, moved: req.Moved}
}

// putOnce writes the object, or finds an identical one.
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

// contested returns the error for a key that keeps changing.
func contested(key string) error {
	return ingest.Errorf(ingest.KindTransient, "object %s changed %d times while it was written: another writer uses the same key", key, writeTries)
}

// putWhole sends the request once and verifies the object. It returns errRaced
// when the key has an object.
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

// proveBytes reads the object back when the store did not return the checksum that
// it returned during the trial.
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

// sendWhole makes the request. The checksum is in a signed header, so that the
// body need not be signed: stores would hash it twice. Without a checksum the
// body's SHA-256 is signed and its MD5 sent.
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

// prove verifies the stored object by a HEAD where the response to the write does
// not.
func (s *Store) prove(ctx context.Context, want content) (ingest.Object, error) {
	found, err := s.find(ctx, want)
	if err != nil {
		return ingest.Object{}, err
	}
	if found == nil {
		return ingest.Object{}, ingest.Errorf(ingest.KindTransient, "the store at %s does not return object %s, which it has just accepted: it is written again", s.endpoint, want.key)
	}
	return *found, nil
}

// objectOptions are the options of requests that create objects. "If-None-Match: *"
// prevents replacing an object. It is sent with the request that makes the object
// visible, because not every store accepts it at the start of an upload.
func objectOptions(metadata map[string]string, sha256 string) minio.PutObjectOptions {
	return minio.PutObjectOptions{UserMetadata: userMetadata(metadata, sha256), ContentType: "application/octet-stream"}
}

// bodyOf returns a request body that calls moved, if not nil, when it is read. It
// supports seeking, which the client needs for retries.
func bodyOf(body []byte, moved func()) io.ReadSeeker {
	if moved == nil {
		return bytes.NewReader(body)
	}
	return &watchedBody{bytes: bytes.NewReader(body), moved: moved}
}

type watchedBody struct {
	bytes *bytes.Reader // not embedded, because WriteTo would bypass moved
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
