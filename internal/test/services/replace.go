package services

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// Replace replaces an object's bytes and keeps its metadata, like a damaged disk or an
// operator's mistake.
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
