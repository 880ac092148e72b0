package objstore

import (
	"crypto/md5" //nolint:gosec // S3's ETag is an MD5; only used without a SHA-256
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
)

// Headers of S3's checksums. The client library sends them when they are in the
// metadata.
const (
	checksumHeader    = "x-amz-checksum-sha256"
	checksumAlgorithm = "x-amz-checksum-algorithm"
)

// hexToBase64 returns a hex digest in the base64 form of S3 checksums; empty for
// invalid hex.
func hexToBase64(digest string) string {
	raw, err := hex.DecodeString(digest)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func md5Base64(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// isComposite reports whether a checksum or ETag is computed from those of parts.
func isComposite(checksum string) bool { return strings.Contains(checksum, "-") }

// withCount adds the number of parts to a composite checksum, which some stores
// omit. The ETag shows whether the object consists of parts.
func withCount(checksum, etag string) string {
	at := strings.LastIndexByte(etag, '-')
	if checksum == "" || isComposite(checksum) || at < 0 {
		return checksum
	}
	return checksum + etag[at:]
}

// compositeChecksum returns the SHA-256 checksum of an object that consists of the
// parts: the SHA-256 over their SHA-256, in base64, "-" and their number. It is
// empty when a part has none. Source: Amazon S3 User Guide, "Checking object
// integrity", composite checksums.
func compositeChecksum(parts []ingest.Part) string {
	all := sha256.New()
	for _, part := range parts {
		raw, err := base64.StdEncoding.DecodeString(part.SHA256)
		if err != nil || len(raw) != sha256.Size {
			return ""
		}
		all.Write(raw)
	}
	return base64.StdEncoding.EncodeToString(all.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

// compositeETag returns the ETag of an object that consists of the parts: the MD5
// over their MD5, in hex, "-" and their number. It is empty when a part's ETag is
// not an MD5, as in encrypted buckets.
func compositeETag(parts []ingest.Part) string {
	all := md5.New() //nolint:gosec // see the import
	for _, part := range parts {
		raw, err := hex.DecodeString(part.ETag)
		if err != nil || len(raw) != md5.Size {
			return ""
		}
		all.Write(raw)
	}
	return hex.EncodeToString(all.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

// proves reports whether the object's checksum or, without one, its ETag matches the
// parts.
func proves(object ingest.Object, parts []ingest.Part) bool {
	if len(parts) == 0 {
		return false
	}
	if object.Checksum != "" {
		return object.Checksum == compositeChecksum(parts)
	}
	want := compositeETag(parts)
	return want != "" && strings.EqualFold(object.ETag, want)
}
