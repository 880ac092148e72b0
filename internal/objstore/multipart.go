package objstore

import (
	"context"
	"crypto/md5" //nolint:gosec // the ETag of a part without a checksum
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// errForeign reports that an unfinished upload contains other bytes.
var errForeign = errors.New("upload holds other bytes")

// upload is an unfinished multipart upload.
type upload struct {
	id string
	// able reports whether its parts carry checksums: not for an upload that was
	// started by a version without them.
	able abilities
	// present are the stored parts by number.
	present map[int]minio.ObjectPart
}

// writeParts resumes an unfinished upload of the key, or starts one, sends the
// missing parts and completes it. On failure the upload is kept for the next
// attempt.
func (w *writer) writeParts(ctx context.Context) (ingest.Object, error) {
	for {
		upload, err := w.openUpload(ctx)
		if err != nil {
			return ingest.Object{}, err
		}
		parts, err := w.sendParts(ctx, upload)
		if errors.Is(err, errForeign) {
			w.foreign[upload.id] = true
			continue
		}
		if err != nil {
			return ingest.Object{}, err
		}
		return w.completeParts(ctx, upload, parts)
	}
}

// completeParts makes an object of the parts, unless the key has one.
func (w *writer) completeParts(ctx context.Context, upload upload, parts []ingest.Part) (ingest.Object, error) {
	answer, err := w.complete(ctx, w.req.Key, upload.id, parts)
	if err != nil && raced(err) {
		return ingest.Object{}, errRaced
	}
	if err != nil {
		return ingest.Object{}, w.explain(ctx, err, "complete the upload of "+w.req.Key)
	}
	object, err := w.completed(ctx, w.content(parts), answer)
	object.SHA256 = w.req.SHA256 // from the upload's metadata
	return object, err
}

// openUpload returns the upload to write to.
func (w *writer) openUpload(ctx context.Context) (upload, error) {
	able, err := w.partAbilities(ctx)
	if err != nil {
		return upload{}, err
	}
	found, err := w.resume(ctx, able)
	if err != nil || found.id != "" {
		return found, err
	}
	id, err := w.beginUpload(ctx, w.req.Key, w.req.Metadata, w.req.SHA256, able)
	return upload{id: id, able: able}, w.explain(ctx, err, "start the upload of "+w.req.Key)
}

// resume returns the oldest unfinished upload of the key with parts; the id is
// empty for none. Uploads without parts are ignored, because they may carry
// metadata of other content. Uploads with checksums are ignored for a store that
// does not verify them, because their parts would carry no other digest.
func (w *writer) resume(ctx context.Context, may abilities) (upload, error) {
	uploads, err := w.unfinished(ctx, w.req.Key)
	if err != nil {
		return upload{}, err
	}
	for _, open := range uploads {
		if w.foreign[open.UploadID] {
			continue
		}
		present, able, _, err := w.storedParts(ctx, w.req.Key, open.UploadID)
		if err != nil {
			return upload{}, err
		}
		if len(present) > 0 && (may.checksums || !able.checksums) {
			return upload{id: open.UploadID, able: able, present: present}, nil
		}
	}
	return upload{}, nil
}

// unfinished lists the unfinished uploads of exactly this key, oldest first.
func (s *Store) unfinished(ctx context.Context, key string) ([]minio.ObjectMultipartInfo, error) {
	var found []minio.ObjectMultipartInfo
	keyMarker, idMarker := "", ""
	for {
		page, err := s.core.ListMultipartUploads(ctx, s.bucket, key, keyMarker, idMarker, "", listPage)
		if err != nil {
			return nil, s.explain(ctx, err, "list unfinished uploads of "+key)
		}
		for _, upload := range page.Uploads {
			if upload.Key == key {
				found = append(found, upload)
			}
		}
		next := page.NextKeyMarker != keyMarker || page.NextUploadIDMarker != idMarker
		if !page.IsTruncated || !next {
			break
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
	slices.SortStableFunc(found, func(a, b minio.ObjectMultipartInfo) int { return a.Initiated.Compare(b.Initiated) })
	return found, nil
}

// sendParts reads the file once, skips parts that are in the store and passes the
// others to at most parallel senders. It returns the parts only if the file has
// the expected SHA-256.
func (w *writer) sendParts(ctx context.Context, to upload) ([]ingest.Part, error) {
	w.progress.restart()
	whole := sha256.New()
	pass := &pass{writer: w, to: to, parts: make([]ingest.Part, w.layout.count), whole: whole}
	pass.senders, pass.sending = errgroup.WithContext(ctx)
	pass.senders.SetLimit(w.parallel)
	walkErr := pass.walk()
	// A sender's failure cancels the reader, so its error is the reason.
	if err := pass.senders.Wait(); err != nil {
		return nil, err
	}
	if walkErr != nil {
		return nil, walkErr
	}
	if pass.left.Load() {
		return nil, ingest.ErrStopped
	}
	if got := hex.EncodeToString(whole.Sum(nil)); got != w.req.SHA256 {
		return nil, w.changed(got)
	}
	return pass.parts, nil
}

// pass is one pass over the file.
type pass struct {
	*writer
	to      upload
	parts   []ingest.Part
	whole   hash.Hash
	senders *errgroup.Group
	sending context.Context //nolint:containedctx // of the senders
	left    atomic.Bool     // a part was not sent, because the worker stops
}

func (p *pass) walk() error {
	for number := 1; number <= p.layout.count; number++ {
		if p.stopping() {
			return ingest.ErrStopped
		}
		b, err := p.load(p.sending, number, p.whole)
		if err != nil {
			return err
		}
		if stored, ok := p.to.present[number]; ok {
			p.parts[number-1], err = p.keepPart(stored, b.body)
			b.release()
			if err != nil {
				return err
			}
			continue
		}
		p.senders.Go(func() error {
			defer b.release()
			return p.sendStaged(number, b.body)
		})
	}
	return nil
}

// sendStaged sends a part, unless the worker stopped while the part waited. That
// is not an error, which would end the parts in flight.
func (p *pass) sendStaged(number int, body []byte) error {
	if p.stopping() {
		p.left.Store(true)
		return nil
	}
	sending := partOf(number, body)
	sending.moved = p.req.Moved
	stored, err := p.sendPart(p.sending, p.req.Key, p.to.id, sending, p.to.able)
	if err != nil {
		return err
	}
	p.parts[number-1] = stored
	p.progress.sent(stored.Size)
	return nil
}

// keepPart accepts a stored part if it has the local bytes.
func (w *writer) keepPart(stored minio.ObjectPart, body []byte) (ingest.Part, error) {
	same := stored.Size == int64(len(body))
	if stored.ChecksumSHA256 != "" {
		same = same && stored.ChecksumSHA256 == partOf(stored.PartNumber, body).checksum()
	} else {
		sum := md5.Sum(body) //nolint:gosec // see the import
		same = same && strings.EqualFold(stored.ETag, hex.EncodeToString(sum[:]))
	}
	if !same {
		return ingest.Part{}, errForeign
	}
	w.progress.add(stored.Size)
	return ingest.Part{Number: stored.PartNumber, Size: stored.Size, ETag: stored.ETag, SHA256: stored.ChecksumSHA256}, nil
}
