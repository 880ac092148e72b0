package demo

import (
	"context"
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"stevedore/temporal-dev/internal/stack"
)

// bucket reads the object store independently of stevedore.
type bucket struct {
	client *minio.Client
	keys   map[string]bool
}

// openBucket lists the bucket.
func openBucket(ctx context.Context, s *stack.Stack) (*bucket, error) {
	client, err := minio.New(s.Get("STEVEDORE_S3_ENDPOINT"), &minio.Options{
		Creds: credentials.NewStaticV4(s.Get("STEVEDORE_S3_ACCESS_KEY"), s.Get("STEVEDORE_S3_SECRET_KEY"), ""),
	})
	if err != nil {
		return nil, err
	}
	b := &bucket{client: client, keys: map[string]bool{}}
	for object := range client.ListObjects(ctx, s.Get("STEVEDORE_S3_BUCKET"), minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list the bucket: %w", object.Err)
		}
		b.keys[object.Key] = true
	}
	return b, nil
}

// compare reads the row's object and compares its digest and size.
func (b *bucket) compare(ctx context.Context, r row) error {
	body, err := b.client.GetObject(ctx, r.Bucket, r.ObjectKey, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	digest, size, err := hashReader(body)
	if err != nil {
		return fmt.Errorf("read object %s: %w", r.ObjectKey, err)
	}
	if digest != r.FileHash || size != r.SizeBytes {
		return fmt.Errorf("object %s has %d bytes of sha256 %s, the source %d of %s", r.ObjectKey, size, digest, r.SizeBytes, r.FileHash)
	}
	return nil
}
