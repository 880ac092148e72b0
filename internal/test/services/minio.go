package services

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3 is a bucket of a single test.
type S3 struct {
	// Endpoint is host:port; UseTLS selects https.
	Endpoint  string
	AccessKey string
	SecretKey string
	Region    string
	UseTLS    bool
	// Bucket is removed with its objects when the test ends.
	Bucket string
	// Core is the test's own client for the bucket.
	Core *minio.Core
}

// Bucket creates a bucket for the test on the object store of STEVEDORE_S3_*. It skips
// the test under -short.
func Bucket(t testing.TB) S3 {
	t.Helper()
	s := S3{
		Endpoint:  setting(t, "STEVEDORE_S3_ENDPOINT"),
		AccessKey: setting(t, "STEVEDORE_S3_ACCESS_KEY"),
		SecretKey: setting(t, "STEVEDORE_S3_SECRET_KEY"),
		Region:    optional("STEVEDORE_S3_REGION"),
		Bucket:    "test-" + strings.ToLower(rand.Text()),
	}
	s.UseTLS, _ = strconv.ParseBool(optional("STEVEDORE_S3_USE_TLS"))
	return s.create(t)
}

// create creates the bucket, which is removed when the test ends.
func (s S3) create(t testing.TB) S3 {
	t.Helper()
	core, err := minio.NewCore(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: s.UseTLS, Region: s.Region,
	})
	if err != nil {
		t.Fatalf("object store %s: %v", s.Endpoint, err)
	}
	s.Core = core
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := core.MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{Region: s.Region}); err != nil {
		t.Fatalf("make bucket %s on %s: %v", s.Bucket, s.Endpoint, err)
	}
	t.Cleanup(func() {
		if err := s.remove(); err != nil {
			t.Errorf("remove bucket %s: %v", s.Bucket, err)
		}
	})
	return s
}

// removeTimeout is enough for a bucket of 100,000 objects.
const removeTimeout = 10 * time.Minute

// remove removes the bucket with its objects and unfinished uploads. A bucket that the
// test has already removed is not an error.
func (s S3) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	if exists, err := s.Core.BucketExists(ctx, s.Bucket); err != nil || !exists {
		return err
	}
	var errs []error
	for upload := range s.Core.ListIncompleteUploads(ctx, s.Bucket, "", true) {
		if upload.Err == nil {
			upload.Err = s.Core.AbortMultipartUpload(ctx, s.Bucket, upload.Key, upload.UploadID)
		}
		errs = append(errs, upload.Err)
	}
	for object := range s.Core.Client.ListObjects(ctx, s.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err == nil {
			object.Err = s.Core.RemoveObject(ctx, s.Bucket, object.Key, minio.RemoveObjectOptions{})
		}
		errs = append(errs, object.Err)
	}
	errs = append(errs, s.Core.RemoveBucket(ctx, s.Bucket))
	return errors.Join(errs...)
}
