package objstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// writeTries is how often Put starts over when the key or its upload changed
// under it. Each round means that somebody else made progress.
const writeTries = 5

// Put stores the file under its key exactly once and proves it: it returns
// only what a HEAD of the store says afterwards. The same content there
// already, from an earlier attempt or a concurrent one, is success; other
// content stays as it is and gives KindConflict.
//
// A file over one part goes up in parts. After a failure, which may come at any
// moment, the parts that are in the store are found by the next Put and only
// the missing ones are sent; so it is after req.Stop, which gives ErrStopped. Errors are of KindHashMismatch when the local
// bytes are not those that Size and SHA256 promise, KindStagingLost when the
// file is gone, KindMissing when the bucket is, and otherwise KindTransient.
func (s *Store) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	layout, err := s.layOut(req.Size)
	if err != nil {
		return ingest.Object{}, err
	}
	file, err := openStaged(req)
	if err != nil {
		return ingest.Object{}, err
	}
	defer func() { _ = file.Close() }() // only read
	ctx, release := s.until(ctx, req.Stop)
	defer release()
	w := &writer{Store: s, req: req, file: file, layout: layout, foreign: map[string]bool{}, progress: newProgress(req)}
	for range writeTries {
		object, err := s.find(ctx, req)
		if err != nil {
			return ingest.Object{}, stopped(ctx, err)
		}
		if object != nil {
			w.finish(ctx)
			return *object, nil
		}
		if err := w.write(ctx); err != nil && !errors.Is(err, errRaced) {
			return ingest.Object{}, stopped(ctx, err)
		}
	}
	return ingest.Object{}, ingest.Errorf(ingest.KindTransient,
		"object %s changed %d times while it was written: another writer uses the same key", req.Key, writeTries)
}

// find returns the object under the key if it is the one asked for, nil if
// there is none, and KindConflict if the key holds something else.
func (s *Store) find(ctx context.Context, req ingest.Put) (*ingest.Object, error) {
	info, err := s.core.StatObject(ctx, s.bucket, req.Key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(ctx, err, "look at object "+req.Key)
	}
	stored := digestOf(info)
	if info.Size != req.Size || stored != req.SHA256 {
		return nil, ingest.Errorf(ingest.KindConflict,
			"object %s in bucket %s holds other content (%d bytes, sha256 %q; expected %d bytes, sha256 %q): it was left as it is; find out who wrote it, then remove it and retry, or skip the file",
			req.Key, s.bucket, info.Size, stored, req.Size, req.SHA256)
	}
	return &ingest.Object{Bucket: s.bucket, Key: req.Key, Size: info.Size, SHA256: stored, ETag: info.ETag}, nil
}

// digestOf reads our digest from the metadata, whose keys come back in
// whatever case the store likes.
func digestOf(info minio.ObjectInfo) string {
	for key, value := range info.UserMetadata {
		if strings.EqualFold(key, sha256Key) {
			return value
		}
	}
	return ""
}

// openStaged opens the local file and checks its size.
func openStaged(req ingest.Put) (*os.File, error) {
	file, err := os.Open(req.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ingest.Wrap(ingest.KindStagingLost, err, "the staged file is gone: it must be downloaded again")
	}
	if err != nil {
		return nil, ingest.Wrap(ingest.KindTransient, err, "the staged file cannot be opened: check the staging folder")
	}
	info, err := file.Stat()
	if err == nil && info.Size() == req.Size {
		return file, nil
	}
	_ = file.Close()
	if err != nil {
		return nil, ingest.Wrap(ingest.KindTransient, err, "the staged file cannot be looked at: check the staging folder")
	}
	return nil, ingest.Errorf(ingest.KindHashMismatch, "the staged file has %d bytes instead of %d: staged bytes changed", info.Size(), req.Size)
}

// writer is one Put under way.
type writer struct {
	*Store
	req    ingest.Put
	file   *os.File
	layout layout
	// foreign holds unfinished uploads whose parts are not ours: they are never
	// written to, since somebody else may complete them.
	foreign  map[string]bool
	progress *progress
}

func (w *writer) write(ctx context.Context) error {
	if w.layout.count == 1 {
		return w.writeWhole(ctx)
	}
	return w.writeParts(ctx)
}

// writeWhole sends the file in one request. The store checks MD5 and SHA-256
// of what arrives, and refuses if the key was taken in the meantime.
func (w *writer) writeWhole(ctx context.Context) error {
	sum := newDigests(nil)
	section := w.layout.section(w.file, 1)
	if err := sum.read(ctx, section); err != nil {
		return err
	}
	if sum.sha256Hex() != w.req.SHA256 {
		return w.changed(sum.sha256Hex())
	}
	body := w.progress.body(io.NewSectionReader(w.file, 0, w.req.Size))
	opts := w.options()
	opts.DisableContentSha256 = signGivenDigest
	opts.SetMatchETagExcept("*")
	_, err := w.core.PutObject(ctx, w.bucket, w.req.Key, body, w.req.Size, sum.md5Base64(), sum.sha256Hex(), opts)
	if err != nil && raced(err) {
		return errRaced
	}
	if err != nil {
		return w.explain(ctx, err, "write object "+w.req.Key)
	}
	w.progress.sent(w.req.Size)
	return nil
}

// options are those of whatever creates the object. "If-None-Match: *", which
// makes the store refuse to replace one, goes with the request that makes the
// object visible: not every store takes it at the start of an upload.
func (w *writer) options() minio.PutObjectOptions {
	return minio.PutObjectOptions{
		UserMetadata: userMetadata(w.req.Metadata, w.req.SHA256),
		ContentType:  "application/octet-stream",
	}
}

func (w *writer) changed(got string) error {
	return ingest.Errorf(ingest.KindHashMismatch, "the staged bytes have sha256 %s instead of %s: staged bytes changed, nothing was stored", got, w.req.SHA256)
}

// finish removes what earlier attempts left unfinished under the key and
// reports the end. Nothing depends on it: what cannot be removed now is
// garbage for the reconciler.
func (w *writer) finish(ctx context.Context) {
	w.progress.done(w.req.Size)
	if w.layout.count == 1 {
		return
	}
	uploads, err := w.unfinished(ctx)
	if err != nil {
		return
	}
	for _, upload := range uploads {
		_ = w.core.AbortMultipartUpload(ctx, w.bucket, w.req.Key, upload.UploadID)
	}
}
