package services

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/audit"
)

// objectReaders is the number of objects read concurrently.
const objectReaders = 8

// objectTimeout bounds reading one object: 10 GB on a busy machine.
const objectTimeout = 10 * time.Minute

// Objects reads and hashes every object of the bucket. Each object has a timeout; the
// whole has none, because there may be a hundred thousand.
func (s S3) Objects(t testing.TB) []audit.StoredObject {
	t.Helper()
	var objects []audit.StoredObject
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(objectReaders)
	for info := range s.Core.Client.ListObjects(ctx, s.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		group.Go(func() error {
			if info.Err != nil {
				return fmt.Errorf("list bucket %s: %w", s.Bucket, info.Err)
			}
			object, err := s.read(ctx, info.Key)
			if err != nil {
				return fmt.Errorf("read object %s: %w", info.Key, err)
			}
			mu.Lock()
			defer mu.Unlock()
			objects = append(objects, object)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(objects, func(a, b audit.StoredObject) int { return strings.Compare(a.Key, b.Key) })
	return objects
}

func (s S3) read(ctx context.Context, key string) (audit.StoredObject, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	body, err := s.Core.Client.GetObject(ctx, s.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return audit.StoredObject{}, err
	}
	defer func() { _ = body.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, body)
	if err != nil {
		return audit.StoredObject{}, err
	}
	info, err := s.Core.StatObject(ctx, s.Bucket, key, minio.StatObjectOptions{Checksum: true})
	return audit.StoredObject{
		Key: key, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)),
		MetaSHA256: info.UserMetadata["Sha256"], Checksum: info.ChecksumSHA256,
	}, err
}

// OpenUploads counts the bucket's unfinished multipart uploads.
func (s S3) OpenUploads(t testing.TB) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for upload := range s.Core.ListIncompleteUploads(ctx, s.Bucket, "", true) {
		if upload.Err != nil {
			t.Fatalf("list uploads of bucket %s: %v", s.Bucket, upload.Err)
		}
		n++
	}
	return n
}

// OpenParts counts the parts of the bucket's unfinished multipart uploads.
func (s S3) OpenParts(t testing.TB) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for upload := range s.Core.ListIncompleteUploads(ctx, s.Bucket, "", true) {
		if upload.Err != nil {
			t.Fatalf("list uploads of bucket %s: %v", s.Bucket, upload.Err)
		}
		parts, err := s.Core.ListObjectParts(ctx, s.Bucket, upload.Key, upload.UploadID, 0, 1000)
		if err != nil {
			continue // completed since it was listed
		}
		n += len(parts.ObjectParts)
	}
	return n
}

// Messages consumes all messages of the queue.
func (q AMQP) Messages(t testing.TB) []audit.Message {
	t.Helper()
	var messages []audit.Message
	for {
		delivery, ok, err := q.Channel.Get(q.Queue, true)
		if err != nil {
			t.Fatalf("get from queue %s: %v", q.Queue, err)
		}
		if !ok {
			return messages
		}
		var envelope struct {
			Data struct {
				Key    string `json:"key"`
				SHA256 string `json:"sha256"`
			} `json:"data"`
		}
		if err := json.Unmarshal(delivery.Body, &envelope); err != nil {
			t.Fatalf("message %s is not JSON: %v", delivery.MessageId, err)
		}
		messages = append(messages, audit.Message{ID: delivery.MessageId, Key: envelope.Data.Key, SHA256: envelope.Data.SHA256})
	}
}
