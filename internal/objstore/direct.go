package objstore

import (
	"context"
	"errors"
	"strings"

	"stevedore/internal/ingest"
)

// BeginUpload starts a multipart upload for a direct transfer and returns its
// id. The metadata is stored with the object; the SHA-256 is not in it, because
// it is not known yet.
func (s *Store) BeginUpload(ctx context.Context, key string, metadata map[string]string) (uploadID string, err error) {
	able, err := s.partAbilities(ctx)
	if err != nil {
		return "", err
	}
	uploadID, err = s.beginUpload(ctx, key, metadata, "", able)
	return uploadID, s.explain(ctx, err, "start the upload of "+key)
}

// PutPart stores one part of a direct transfer, whose bytes the store compares
// with their SHA-256. An upload that is gone is KindTransient: the transfer must
// begin another one.
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

// UploadHolds reports whether the upload is open and has the parts.
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

// CompleteUpload makes the parts of a direct transfer an object, exactly once,
// and proves it: the store's checksum of the object must be that of the parts.
// The same content there already, from an attempt whose answer was lost or from
// another mode, is success; other content is left unchanged and is KindConflict.
// When the upload is gone and there is no object, the error is KindTransient and
// the transfer must begin again.
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
	// Two writers met, or the parts are gone. S3 wants the upload begun again then.
	_ = s.AbortUpload(ctx, req.Key, req.UploadID)
	return ingest.Object{}, s.uploadGone(req.Key)
}

// Completed returns the object if it is made of the parts or has their bytes;
// found is false when there is none. Other content is KindConflict.
func (s *Store) Completed(ctx context.Context, req ingest.CompleteUpload) (object ingest.Object, found bool, err error) {
	there, err := s.find(ctx, directContent(req))
	if err != nil || there == nil {
		return ingest.Object{}, false, err
	}
	return *there, true, nil
}

// AbortUpload ends an upload and frees its parts; one that is gone is no error.
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
	return ingest.Errorf(ingest.KindTransient, "the upload of %s is gone from the store at %s: the transfer begins again", key, s.endpoint)
}

// trimQuotes strips the quotes that ETags have in XML.
func trimQuotes(etag string) string { return strings.Trim(etag, `"`) }
