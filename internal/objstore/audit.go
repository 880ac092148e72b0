package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// readStall is the longest time without a byte while an object is read.
const readStall = time.Minute

// List calls fn for each object under the prefix in byte order of the keys, as S3
// guarantees. It holds one page in memory. SHA256 is empty, because listings do
// not contain it. An error of fn ends the listing and is returned unchanged.
func (s *Store) List(ctx context.Context, prefix string, fn func(ingest.Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the lister when fn fails
	for info := range s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if info.Err != nil {
			return s.explain(ctx, info.Err, "list objects under "+prefix)
		}
		if err := fn(ingest.Object{Bucket: s.bucket, Key: info.Key, Size: info.Size, ETag: info.ETag}); err != nil {
			return err
		}
	}
	return ctx.Err() // a cancelled listing ends without an error
}

// Head returns an object of any bucket with its size, the SHA-256 in its metadata
// and the store's checksum, each empty if absent. found is false for a missing
// object or bucket.
func (s *Store) Head(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error) {
	info, err := s.core.StatObject(ctx, bucket, key, minio.StatObjectOptions{Checksum: true})
	if absent(err) {
		return object, false, nil
	}
	if err != nil {
		return object, false, s.explain(ctx, err, "stat object "+key)
	}
	return objectOf(bucket, key, info), true, nil
}

// Digest reads an object of any bucket completely and returns it with the number
// of bytes and their SHA-256.
func (s *Store) Digest(ctx context.Context, bucket, key string) (object ingest.Object, found bool, err error) {
	return s.read(ctx, bucket, key, nil)
}

// read implements Digest. moved, if not nil, is called when bytes arrive.
func (s *Store) read(ctx context.Context, bucket, key string, moved func()) (object ingest.Object, found bool, err error) {
	for range requestTries {
		object, err = s.digest(ctx, bucket, key, moved)
		if err == nil || absent(err) || ctx.Err() != nil {
			break
		}
	}
	if absent(err) {
		return object, false, nil
	}
	return object, err == nil, s.explain(ctx, err, "read object "+key)
}

func (s *Store) digest(ctx context.Context, bucket, key string, moved func()) (ingest.Object, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(readStall, func() { cancel(fmt.Errorf("received no data for %s", readStall)) })
	defer watchdog.Stop()
	body, info, _, err := s.core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return ingest.Object{}, err
	}
	defer func() { _ = body.Close() }() // only read
	sum := patient{Hash: sha256.New(), watchdog: watchdog, moved: moved}
	n, err := io.Copy(sum, body)
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return ingest.Object{}, context.Cause(ctx)
	case err != nil:
		return ingest.Object{}, err
	}
	return ingest.Object{Bucket: bucket, Key: key, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil)), ETag: info.ETag}, nil
}

// patient is a hash that resets a watchdog on each write.
type patient struct {
	hash.Hash
	watchdog *time.Timer
	moved    func() // may be nil
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	p.watchdog.Reset(readStall)
	if p.moved != nil {
		p.moved()
	}
	return p.Hash.Write(b)
}

// absent reports whether the error means that the object does not exist.
func absent(err error) bool {
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey, minio.NoSuchBucket:
		return true
	}
	return false
}
