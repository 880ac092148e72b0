package objstore

import (
	"context"
	"errors"
	"strings"

	"stevedore/internal/ingest"
)

// BeginUpload starts a multipart upload for a direct transfer and returns its id.
// The metadata is stored with the object, without the SHA-256, which is not known
// yet.
func (s *Store) BeginUpload(ctx context.Context, key string, metadata map[string]string) (uploadID string, err error) {
	able, err := s.partAbilities(ctx)
	if err != nil {
		return "", err
	}
	uploadID, err = s.beginUpload(ctx, key, metadata, "", able)
	return uploadID, s.explain(ctx, err, "start the upload of "+key)
}

// PutPart stores one part of a direct transfer; the store verifies its SHA-256. A
// missing upload is KindTransient: the transfer must start another one.
func (s *Store) PutPart(ctx context.Context, req ingest.PutPart) (ingest.Part, error) {
	able, err := s.partAbilities(ctx)
	if err != nil {
		return ingest.Part{}, err
	}
	p := part{number: req.Number, body: req.Body, sha256: req.SHA256, moved: req.Moved}
	stored, err := s.sendPart(ctx, req.Key, req.UploadID, p, able)
	if errors.Is(err, errRaced) {
		return stored, s.uploadGone(req.Key)
	}
	return stored, err
}

// UploadHolds reports whether the upload is open and contains the parts.
func (s *Store) UploadHolds(ctx context.Context, key, uploadID string, parts []ingest.Part) (bool, error) {
	stored, _, found, err := s.storedParts(ctx, key, uploadID)
	if err != nil || !found {
		return false, err
	}
	for _, part := range parts {
		there, ok := stored[part.Number]
		if !ok || there.Size != part.Size || there.ETag != part.ETag {
			return false, nil
		}
	}
	return true, nil
}

// CompleteUpload makes an object of the parts of a direct transfer, exactly once,
// and verifies it: the store's checksum of the object must be that of the parts.
// An existing object with the same content counts as success, because an earlier
// attempt may have lost the response. Other content is kept and is KindConflict.
// If both upload and object are missing, the error is KindTransient and the
// transfer must restart.
func (s *Store) CompleteUpload(ctx context.Context, req ingest.CompleteUpload) (ingest.Object, error) {
	want := directContent(req)
	answer, err := s.complete(ctx, req.Key, req.UploadID, req.Parts)
	if err == nil {
		return s.completed(ctx, want, answer)
	}
	if !raced(err) {
		return ingest.Object{}, s.explain(ctx, err, "complete the upload of "+req.Key)
	}
	found, findErr := s.find(ctx, want)
	switch {
	case findErr != nil:
		return ingest.Object{}, findErr
	case found != nil:
		return *found, nil
	}
	// A concurrent writer won, or the parts are missing. S3 then requires a new upload.
	_ = s.AbortUpload(ctx, req.Key, req.UploadID)
	return ingest.Object{}, s.uploadGone(req.Key)
}

// Completed returns the object if it consists of the parts or has their bytes;
// found is false without an object. Other content is KindConflict.
func (s *Store) Completed(ctx context.Context, req ingest.CompleteUpload) (object ingest.Object, found bool, err error) {
	there, err := s.find(ctx, directContent(req))
	if err != nil || there == nil {
		return ingest.Object{}, false, err
	}
	return *there, true, nil
}

// AbortUpload ends an upload and frees its parts. It is idempotent.
func (s *Store) AbortUpload(ctx context.Context, key, uploadID string) error {
	return s.Abort(ctx, ingest.OpenUpload{Key: key, UploadID: uploadID})
}

// AbortUploads ends all unfinished uploads of exactly the key.
func (s *Store) AbortUploads(ctx context.Context, key string) error {
	uploads, err := s.unfinished(ctx, key)
	for i := 0; i < len(uploads) && err == nil; i++ {
		err = s.AbortUpload(ctx, key, uploads[i].UploadID)
	}
	return err
}

func directContent(req ingest.CompleteUpload) content {
	want := content{key: req.Key, sha256: req.SHA256, parts: req.Parts, moved: req.Moved}
	for _, part := range req.Parts {
		want.size += part.Size
	}
	return want
}

func (s *Store) uploadGone(key string) error {
	return ingest.Errorf(ingest.KindTransient, "the upload of %s is missing in the store at %s: the transfer restarts", key, s.endpoint)
}

// trimQuotes removes the quotes around ETags in XML.
func trimQuotes(etag string) string { return strings.Trim(etag, `"`) }
