package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/oracle"
)

// Objects reads every object of the bucket and hashes it.
func (s S3) Objects(t testing.TB) []oracle.StoredObject {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // 10 GB on a busy machine
	defer cancel()
	var objects []oracle.StoredObject
	for info := range s.Core.Client.ListObjects(ctx, s.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			t.Fatalf("list bucket %s: %v", s.Bucket, info.Err)
		}
		object, err := s.read(ctx, info.Key)
		if err != nil {
			t.Fatalf("read object %s: %v", info.Key, err)
		}
		objects = append(objects, object)
	}
	return objects
}

func (s S3) read(ctx context.Context, key string) (oracle.StoredObject, error) {
	body, err := s.Core.Client.GetObject(ctx, s.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return oracle.StoredObject{}, err
	}
	defer func() { _ = body.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, body)
	if err != nil {
		return oracle.StoredObject{}, err
	}
	info, err := s.Core.StatObject(ctx, s.Bucket, key, minio.StatObjectOptions{Checksum: true})
	return oracle.StoredObject{
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
			continue // it has just been completed
		}
		n += len(parts.ObjectParts)
	}
	return n
}

// Messages takes every message out of the queue.
func (q AMQP) Messages(t testing.TB) []oracle.Message {
	t.Helper()
	var messages []oracle.Message
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
			t.Fatalf("message %s is no JSON: %v", delivery.MessageId, err)
		}
		messages = append(messages, oracle.Message{ID: delivery.MessageId, Key: envelope.Data.Key, SHA256: envelope.Data.SHA256})
	}
}
