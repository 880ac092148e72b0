package services

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// Replace puts other bytes under a key and leaves the metadata as it is, as a
// damaged disk or a careless hand would.
func (s S3) Replace(t testing.TB, key string, content []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	info, err := s.Core.StatObject(ctx, s.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		t.Fatalf("look at object %s: %v", key, err)
	}
	_, err = s.Core.Client.PutObject(ctx, s.Bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{
		UserMetadata: info.UserMetadata,
	})
	if err != nil {
		t.Fatalf("replace object %s: %v", key, err)
	}
}
