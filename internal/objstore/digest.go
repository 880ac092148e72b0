package objstore

import (
	"context"
	"crypto/md5" //nolint:gosec // S3 checks each part by MD5; SHA-256 guards the whole
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"stevedore/internal/ingest"
)

// readSize is how much of the file is hashed between two looks at the context.
const readSize = 1 << 20

// digests are the sums of one part.
type digests struct {
	md5    hash.Hash
	sha256 hash.Hash
	// whole, may be nil, goes on from part to part.
	whole hash.Hash
}

func newDigests(whole hash.Hash) *digests {
	return &digests{md5: md5.New(), sha256: sha256.New(), whole: whole} //nolint:gosec // see above
}

// read hashes all of a section. A section that ends early means that the
// staged file was cut.
func (d *digests) read(ctx context.Context, section *io.SectionReader) error {
	buf := make([]byte, min(readSize, section.Size()))
	for left := section.Size(); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(section, buf[:min(left, int64(len(buf)))])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return ingest.Wrap(ingest.KindHashMismatch, err, "the staged file ended early: staged bytes changed")
		}
		if err != nil {
			return ingest.Wrap(ingest.KindTransient, err, "the staged file cannot be read: check the staging disk")
		}
		d.write(buf[:n])
		left -= int64(n)
	}
	return nil
}

func (d *digests) write(p []byte) {
	d.md5.Write(p)
	d.sha256.Write(p)
	if d.whole != nil {
		d.whole.Write(p)
	}
}

func (d *digests) md5Base64() string { return base64.StdEncoding.EncodeToString(d.md5.Sum(nil)) }
func (d *digests) md5Hex() string    { return hex.EncodeToString(d.md5.Sum(nil)) }
func (d *digests) sha256Hex() string { return hex.EncodeToString(d.sha256.Sum(nil)) }
