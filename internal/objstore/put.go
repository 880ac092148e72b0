package objstore

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"stevedore/internal/ingest"
)

// writeTries is how often Put starts over when the key or its upload changed
// under it. Each round means that somebody else made progress.
const writeTries = 5

// Put stores the file under its key exactly once and proves it by the checksum
// that the store returns, or else by a HEAD. The same content there already, from
// an earlier attempt or a concurrent one, is success; other content is left
// unchanged and is KindConflict.
//
// The bytes are read once: they are hashed, part by part and as a whole, and
// sent from memory. Nothing becomes visible before the whole has the promised
// SHA-256.
//
// A file over one part goes up in parts. After a failure, which may come at any
// moment, the parts that are in the store are found by the next Put and only
// the missing ones are sent, and also after req.Stop, which gives
// ErrStopped. Errors are of KindHashMismatch when the local bytes are not those
// that Size and SHA256 promise, KindStagingLost when the file is gone,
// KindMissing when the bucket is, and otherwise KindTransient.
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
	object, err := w.run(ctx)
	return object, stopped(ctx, err)
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

func (w *writer) run(ctx context.Context) (ingest.Object, error) {
	for range writeTries {
		// Looked at first: sending a large file only to be refused costs more.
		found, err := w.find(ctx, w.content(nil))
		if err != nil {
			return ingest.Object{}, err
		}
		if found != nil {
			w.finish(ctx)
			return *found, nil
		}
		object, err := w.write(ctx)
		if errors.Is(err, errRaced) {
			continue
		}
		if err == nil {
			w.finish(ctx)
		}
		return object, err
	}
	return ingest.Object{}, contested(w.req.Key)
}

func (w *writer) write(ctx context.Context) (ingest.Object, error) {
	if w.layout.count == 1 {
		return w.writeWhole(ctx)
	}
	return w.writeParts(ctx)
}

func (w *writer) content(parts []ingest.Part) content {
	return content{key: w.req.Key, size: w.req.Size, sha256: w.req.SHA256, parts: parts, moved: w.req.Moved}
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

// writeWhole sends the file in one request.
func (w *writer) writeWhole(ctx context.Context) (ingest.Object, error) {
	buffer, err := w.load(ctx, 1, nil)
	if err != nil {
		return ingest.Object{}, err
	}
	defer buffer.release()
	if got := partOf(1, buffer.body).hex(); got != w.req.SHA256 {
		return ingest.Object{}, w.changed(got)
	}
	object, err := w.putOnce(ctx, ingest.PutBytes{
		Key: w.req.Key, Body: buffer.body, SHA256: w.req.SHA256, Metadata: w.req.Metadata, Moved: w.req.Moved,
	})
	if err == nil {
		w.progress.sent(w.req.Size)
	}
	return object, err
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
	uploads, err := w.unfinished(ctx, w.req.Key)
	if err != nil {
		return
	}
	for _, upload := range uploads {
		_ = w.core.AbortMultipartUpload(ctx, w.bucket, w.req.Key, upload.UploadID)
	}
}
