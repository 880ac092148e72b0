package services

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// patternBlock is the length of a pattern's block in bytes.
const patternBlock = 4096

// Pattern is content of any size that is computed from the offset and takes no memory:
// random bytes that repeat in each block, with the number of the block mixed into each
// word. Check therefore detects misplaced bytes. It is safe for concurrent use.
type Pattern struct {
	size   int64
	words  [patternBlock / 8]uint64
	digest func() string
}

// NewPattern returns size bytes of content, the same in every run.
func NewPattern(size int64) *Pattern {
	p := &Pattern{size: size}
	random := rand.NewChaCha8([32]byte{1})
	for i := range p.words {
		p.words[i] = random.Uint64()
	}
	p.digest = sync.OnceValue(p.sum)
	return p
}

// Size returns the size in bytes.
func (p *Pattern) Size() int64 { return p.size }

// ReadAt implements io.ReaderAt.
func (p *Pattern) ReadAt(buf []byte, off int64) (int, error) {
	if off < 0 || off >= p.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(buf)), p.size-off))
	p.fill(buf[:n], off)
	if n < len(buf) {
		return n, io.EOF
	}
	return n, nil
}

// fill computes the bytes at the offset.
func (p *Pattern) fill(buf []byte, off int64) {
	var edge [patternBlock]byte
	for len(buf) > 0 {
		block, within := off/patternBlock, int(off%patternBlock)
		n := patternBlock
		if within == 0 && len(buf) >= patternBlock {
			p.block(buf, block)
		} else {
			p.block(edge[:], block)
			n = copy(buf, edge[within:])
		}
		buf, off = buf[n:], off+int64(n)
	}
}

// block computes one block.
func (p *Pattern) block(to []byte, number int64) {
	key := uint64(number+1) * 0x9e3779b97f4a7c15 // odd, so that no two blocks share a key
	to = to[:patternBlock]
	for i, word := range p.words {
		binary.LittleEndian.PutUint64(to[8*i:], word^key)
	}
}

// Check compares body with the content at the offset. scratch is a buffer of at least
// the same length.
func (p *Pattern) Check(body []byte, off int64, scratch []byte) error {
	want := scratch[:len(body)]
	if _, err := p.ReadAt(want, off); err != nil {
		return fmt.Errorf("%d bytes at %d of %d: %w", len(body), off, p.size, err)
	}
	if bytes.Equal(body, want) {
		return nil
	}
	at := 0
	for body[at] == want[at] {
		at++
	}
	return fmt.Errorf("byte %d differs from the source", off+int64(at))
}

// SHA256 returns the digest of the content in hex. The first call computes it.
func (p *Pattern) SHA256() string { return p.digest() }

func (p *Pattern) sum() string {
	sum := sha256.New()
	_, _ = io.CopyBuffer(sum, struct{ io.Reader }{io.NewSectionReader(p, 0, p.size)}, make([]byte, 64*patternBlock)) // neither fails
	return hex.EncodeToString(sum.Sum(nil))
}
