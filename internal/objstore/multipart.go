package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// errForeign says that an unfinished upload holds bytes that are not ours.
var errForeign = errors.New("upload holds other bytes")

// listPage is how many parts or uploads one request lists; S3's maximum.
const listPage = 1000

// signGivenDigest makes the client sign the digest it is given instead of
// cutting the body into chunks that are signed one by one.
const signGivenDigest = true

// writeParts goes on with an unfinished upload of the key, or starts one, sends
// what is missing and completes it. On failure the upload stays, so that the
// next attempt finds the parts.
func (w *writer) writeParts(ctx context.Context) error {
	for {
		uploadID, present, err := w.openUpload(ctx)
		if err != nil {
			return err
		}
		parts, err := w.sendParts(ctx, uploadID, present)
		if errors.Is(err, errForeign) {
			w.foreign[uploadID] = true
			continue
		}
		if err != nil {
			return err
		}
		return w.complete(ctx, uploadID, parts)
	}
}

// openUpload returns the upload to write to and the parts it has.
func (w *writer) openUpload(ctx context.Context) (uploadID string, present map[int]minio.ObjectPart, err error) {
	uploadID, present, err = w.resume(ctx)
	if err != nil || uploadID != "" {
		return uploadID, present, err
	}
	uploadID, err = w.core.NewMultipartUpload(ctx, w.bucket, w.req.Key, w.options())
	return uploadID, nil, w.explain(ctx, err, "start the upload of "+w.req.Key)
}

// complete makes the parts an object, unless the key was taken in the meantime.
func (w *writer) complete(ctx context.Context, uploadID string, parts []minio.CompletePart) error {
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	_, err := w.core.CompleteMultipartUpload(ctx, w.bucket, w.req.Key, uploadID, parts, opts)
	if err != nil && raced(err) {
		return errRaced
	}
	return w.explain(ctx, err, "complete the upload of "+w.req.Key)
}

// resume returns the oldest unfinished upload of the key that has parts, with
// those parts by number. The id is empty when there is none: an upload without
// parts saves nothing, and may carry another content's metadata.
func (w *writer) resume(ctx context.Context) (uploadID string, present map[int]minio.ObjectPart, err error) {
	uploads, err := w.unfinished(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, upload := range uploads {
		if w.foreign[upload.UploadID] {
			continue
		}
		present, err := w.partsOf(ctx, upload.UploadID)
		if err != nil {
			return "", nil, err
		}
		if len(present) > 0 {
			return upload.UploadID, present, nil
		}
	}
	return "", nil, nil
}

// unfinished lists the unfinished uploads of exactly this key, oldest first.
func (w *writer) unfinished(ctx context.Context) ([]minio.ObjectMultipartInfo, error) {
	var found []minio.ObjectMultipartInfo
	keyMarker, idMarker := "", ""
	for {
		page, err := w.core.ListMultipartUploads(ctx, w.bucket, w.req.Key, keyMarker, idMarker, "", listPage)
		if err != nil {
			return nil, w.explain(ctx, err, "list unfinished uploads of "+w.req.Key)
		}
		for _, upload := range page.Uploads {
			if upload.Key == w.req.Key {
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

// partsOf lists the parts of an upload; none when it is gone.
func (w *writer) partsOf(ctx context.Context, uploadID string) (map[int]minio.ObjectPart, error) {
	parts := map[int]minio.ObjectPart{}
	for marker := 0; ; {
		page, err := w.core.ListObjectParts(ctx, w.bucket, w.req.Key, uploadID, marker, listPage)
		if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
			return nil, nil
		}
		if err != nil {
			return nil, w.explain(ctx, err, "list the stored parts of "+w.req.Key)
		}
		for _, part := range page.ObjectParts {
			parts[part.PartNumber] = part
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return parts, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// sendParts walks the file once: it hashes part after part, skips those that
// are in the store already and hands the others to at most parallel senders.
// The parts come back only if the whole file has the promised SHA-256.
func (w *writer) sendParts(ctx context.Context, uploadID string, present map[int]minio.ObjectPart) ([]minio.CompletePart, error) {
	w.progress.restart()
	parts := make([]minio.CompletePart, w.layout.count)
	whole := sha256.New()
	senders, sending := errgroup.WithContext(ctx)
	senders.SetLimit(w.parallel)
	var walkErr error
	var left atomic.Bool
	for number := 1; number <= w.layout.count && walkErr == nil; number++ {
		if w.stopping() {
			walkErr = ingest.ErrStopped
			break
		}
		section, sum := w.layout.section(w.file, number), newDigests(whole)
		if walkErr = sum.read(sending, section); walkErr != nil {
			break
		}
		if stored, ok := present[number]; ok {
			walkErr = w.keepPart(stored, section, sum)
			parts[number-1] = minio.CompletePart{PartNumber: number, ETag: stored.ETag}
			continue
		}
		senders.Go(func() (err error) {
			if w.stopping() { // while this one waited for its turn; an error would end those under way
				left.Store(true)
				return nil
			}
			parts[number-1], err = w.sendPart(sending, uploadID, number, section, sum)
			return err
		})
	}
	// A sender's failure cancels the walk, so it is the one that explains.
	if err := senders.Wait(); err != nil {
		return nil, err
	}
	if walkErr != nil {
		return nil, walkErr
	}
	if left.Load() {
		return nil, ingest.ErrStopped
	}
	if got := hex.EncodeToString(whole.Sum(nil)); got != w.req.SHA256 {
		return nil, w.changed(got)
	}
	return parts, nil
}

// keepPart accepts a part that the store has, if it is the local bytes'.
func (w *writer) keepPart(stored minio.ObjectPart, section *io.SectionReader, sum *digests) error {
	if stored.Size != section.Size() || !strings.EqualFold(strings.Trim(stored.ETag, `"`), sum.md5Hex()) {
		return errForeign
	}
	w.progress.add(stored.Size)
	return nil
}

// sendPart writes one part. The store compares what arrives with its MD5 and
// with the SHA-256 in the signature, so damage on the way is refused.
func (w *writer) sendPart(ctx context.Context, uploadID string, number int, section *io.SectionReader, sum *digests) (minio.CompletePart, error) {
	body := w.progress.body(io.NewSectionReader(section, 0, section.Size()))
	part, err := w.core.PutObjectPart(ctx, w.bucket, w.req.Key, uploadID, number, body, section.Size(),
		minio.PutObjectPartOptions{Md5Base64: sum.md5Base64(), Sha256Hex: sum.sha256Hex(), DisableContentSha256: signGivenDigest})
	if err != nil && raced(err) {
		return minio.CompletePart{}, errRaced
	}
	if err != nil {
		return minio.CompletePart{}, w.explain(ctx, err, fmt.Sprintf("write part %d of %s", number, w.req.Key))
	}
	w.progress.sent(section.Size())
	return minio.CompletePart{PartNumber: number, ETag: part.ETag}, nil
}
