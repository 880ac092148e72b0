package transfer

import (
	"crypto/md5"  //nolint:gosec // partners' checksum files use it; never a proof by itself
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"

	"stevedore/internal/ingest"
)

// newHash returns the hash for one of ingest's algorithm names. The name of
// BLAKE2b with another length than 64 bytes has the length in bits as a suffix.
func newHash(algo string) (hash.Hash, error) {
	switch algo {
	case ingest.AlgoSHA256:
		return sha256.New(), nil
	case ingest.AlgoSHA224:
		return sha256.New224(), nil
	case ingest.AlgoSHA384:
		return sha512.New384(), nil
	case ingest.AlgoSHA512:
		return sha512.New(), nil
	case ingest.AlgoSHA1:
		return sha1.New(), nil //nolint:gosec // see the import
	case ingest.AlgoMD5:
		return md5.New(), nil //nolint:gosec // see the import
	case ingest.AlgoBLAKE2s:
		return blake2s.New256(nil)
	case ingest.AlgoBLAKE2b:
		return blake2b.New512(nil)
	}
	if bits, ok := strings.CutPrefix(algo, ingest.AlgoBLAKE2b+"-"); ok {
		if n, err := strconv.Atoi(bits); err == nil && n > 0 && n%8 == 0 && n <= 512 {
			return blake2b.New(n/8, nil)
		}
	}
	return nil, ingest.Errorf(ingest.KindInvalid, "unknown hash algorithm %q", algo)
}

// Sum returns the digest of content in lower-case hex.
func (Memory) Sum(content []byte, algo string) (string, error) {
	h, err := newHash(algo)
	if err != nil {
		return "", err
	}
	h.Write(content) // a hash never fails
	return hex.EncodeToString(h.Sum(nil)), nil
}
