package objstore

import (
	"context"
	"time"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// Uploads calls fn for each unfinished multipart upload of the bucket. It lists
// the whole bucket, because some stores treat the prefix as a complete key here.
func (s *Store) Uploads(ctx context.Context, fn func(ingest.OpenUpload) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the lister when fn fails
	for upload := range s.core.ListIncompleteUploads(ctx, s.bucket, "", true) {
		if upload.Err != nil {
			return s.explain(ctx, upload.Err, "list unfinished uploads")
		}
		if err := fn(ingest.OpenUpload{Key: upload.Key, UploadID: upload.UploadID, Age: time.Since(upload.Initiated)}); err != nil {
			return err
		}
	}
	return ctx.Err() // a cancelled listing ends without an error
}

// Abort ends an unfinished upload and frees its parts. It is idempotent.
func (s *Store) Abort(ctx context.Context, upload ingest.OpenUpload) error {
	err := s.core.AbortMultipartUpload(ctx, s.bucket, upload.Key, upload.UploadID)
	if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		return nil
	}
	return s.explain(ctx, err, "abort the unfinished upload of "+upload.Key)
}
