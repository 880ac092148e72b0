package objstore

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"stevedore/internal/ingest"
)

// writeTries is the number of attempts of Put when the key or its upload changes
// concurrently. Each one means that another writer made progress.
const writeTries = 5

// Put stores the file under its key exactly once. It verifies the object by the checksum
// that the store returns, or else by a HEAD. An existing object with the same content
// counts as success; other content is kept and is KindConflict.
//
// The bytes are read once: they are hashed, for each part and in total, and sent from
// memory. The object becomes visible only if the total has the expected SHA-256.
//
// A file larger than one part is sent in parts. After a failure or req.Stop, which
// returns ErrStopped, the next Put sends only the missing parts. Errors are
// KindHashMismatch when the local bytes do not match Size and SHA256, KindStagingLost
// when the file is missing, KindMissing when the bucket is missing, and otherwise
// KindTransient.
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

// writer is the state of one Put.
type writer struct {
	*Store
	req    ingest.Put
	file   *os.File
	layout layout
	// foreign lists unfinished uploads with other parts. They are never written to,
	// because another writer may complete them.
	foreign  map[string]bool
	progress *progress
}

func (w *writer) run(ctx context.Context) (ingest.Object, error) {
	for range writeTries {
		// Check first: sending a large file only to be rejected costs more.
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
		return nil, ingest.Wrap(ingest.KindStagingLost, err, "the staged file is missing: it must be downloaded again")
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
		return nil, ingest.Wrap(ingest.KindTransient, err, "stat of the staged file failed: check the staging folder")
	}
	return nil, ingest.Errorf(ingest.KindHashMismatch, "the staged file has %d bytes instead of %d: staged bytes changed", info.Size(), req.Size)
}

// writeWhole sends the file by one request.
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

// finish removes unfinished uploads of earlier attempts and reports the end.
// Errors do not matter: reconciliation removes orphans.
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
