package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// listPage is the number of parts or uploads in one list request; S3's maximum.
const listPage = 1000

// part is one part of an upload in memory.
type part struct {
	number int
	body   []byte
	sha256 [sha256.Size]byte
	moved  func() // may be nil
}

func partOf(number int, body []byte) part {
	return part{number: number, body: body, sha256: sha256.Sum256(body)}
}

func (p part) hex() string      { return hex.EncodeToString(p.sha256[:]) }
func (p part) checksum() string { return base64.StdEncoding.EncodeToString(p.sha256[:]) }

// stored is the part as returned by the store.
func (p part) stored(answer minio.ObjectPart) ingest.Part {
	return ingest.Part{Number: p.number, Size: int64(len(p.body)), ETag: answer.ETag, SHA256: answer.ChecksumSHA256}
}

// beginUpload starts a multipart upload and returns its id.
func (s *Store) beginUpload(ctx context.Context, key string, metadata map[string]string, sha256 string, able abilities) (string, error) {
	opts := objectOptions(metadata, sha256)
	if able.checksums {
		opts.UserMetadata[checksumAlgorithm] = "SHA256"
	}
	return s.core.NewMultipartUpload(ctx, s.bucket, key, opts)
}

// putPart writes one part, with the digest as in sendWhole. Damage in transit is
// rejected.
func (s *Store) putPart(ctx context.Context, key, uploadID string, p part, able abilities) (minio.ObjectPart, error) {
	opts := minio.PutObjectPartOptions{DisableContentSha256: signGivenDigest}
	if able.checksums {
		opts.CustomHeader = http.Header{}
		opts.CustomHeader.Set(checksumHeader, p.checksum())
	} else {
		opts.Sha256Hex, opts.Md5Base64 = p.hex(), md5Base64(p.body)
	}
	return s.core.PutObjectPart(ctx, s.bucket, key, uploadID, p.number, bodyOf(p.body, p.moved), int64(len(p.body)), opts)
}

// sendPart is putPart with user-readable errors. It rejects a wrong checksum,
// which must not get into an object.
func (s *Store) sendPart(ctx context.Context, key, uploadID string, p part, able abilities) (ingest.Part, error) {
	answer, err := s.putPart(ctx, key, uploadID, p, able)
	doing := fmt.Sprintf("write part %d of %s", p.number, key)
	if err != nil && raced(err) {
		return ingest.Part{}, errRaced
	}
	if err != nil {
		return ingest.Part{}, s.explain(ctx, err, doing)
	}
	if able.checksums && answer.ChecksumSHA256 != p.checksum() {
		return ingest.Part{}, ingest.Errorf(ingest.KindTransient, "the store at %s returned checksum %q instead of %q (%s): it is sent again",
			s.endpoint, answer.ChecksumSHA256, p.checksum(), doing)
	}
	return p.stored(answer), nil
}

// complete makes an object of the parts, unless the key has one.
func (s *Store) complete(ctx context.Context, key, uploadID string, parts []ingest.Part) (minio.UploadInfo, error) {
	list := make([]minio.CompletePart, len(parts))
	for i, part := range parts {
		list[i] = minio.CompletePart{PartNumber: part.Number, ETag: part.ETag, ChecksumSHA256: part.SHA256}
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	return s.core.CompleteMultipartUpload(ctx, s.bucket, key, uploadID, list, opts)
}

// completed returns the object created by completing an upload. It is proven by
// the composite checksum in the response, or else by a HEAD.
func (s *Store) completed(ctx context.Context, want content, answer minio.UploadInfo) (ingest.Object, error) {
	checksum := withCount(answer.ChecksumSHA256, answer.ETag)
	if checksum == "" || checksum != compositeChecksum(want.parts) {
		return s.prove(ctx, want)
	}
	return ingest.Object{Bucket: s.bucket, Key: want.key, Size: want.size, ETag: answer.ETag, Checksum: checksum}, nil
}

// storedParts returns the parts of an upload by number, and whether they were
// uploaded with checksums. found is false for a missing upload.
func (s *Store) storedParts(ctx context.Context, key, uploadID string) (parts map[int]minio.ObjectPart, able abilities, found bool, err error) {
	parts = map[int]minio.ObjectPart{}
	for marker := 0; ; {
		page, err := s.core.ListObjectParts(ctx, s.bucket, key, uploadID, marker, listPage)
		if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
			return nil, able, false, nil
		}
		if err != nil {
			return nil, able, false, s.explain(ctx, err, "list the stored parts of "+key)
		}
		for _, part := range page.ObjectParts {
			part.ETag = trimQuotes(part.ETag)
			parts[part.PartNumber] = part
			able.checksums = part.ChecksumSHA256 != ""
		}
		able.checksums = able.checksums || page.ChecksumAlgorithm == "SHA256"
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return parts, able, true, nil
		}
		marker = page.NextPartNumberMarker
	}
}
