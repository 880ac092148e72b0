package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"stevedore/internal/ingest"
)

// Memory reads files whole within a budget.
type Memory struct {
	*Budget
	// ReadAhead, may be nil, bounds the outstanding reads of all transfers.
	ReadAhead *ReadAhead
}

// ReadWhole reads exactly size bytes of the source, with several reads of at most
// 32 KiB outstanding, and returns them with their SHA-256 in lower-case hex. A
// source that ends before or goes on behind them is KindChanged. Reads that hang end when the caller
// closes the source.
func (m Memory) ReadWhole(ctx context.Context, source io.ReaderAt, size int64) (content []byte, digest string, err error) {
	content = make([]byte, 0, size)
	p := newPipeline(source, 0, size, DefaultChunkSize, DefaultWindow, m.ReadAhead)
	defer p.close(DefaultDrainTimeout)
	stalled := time.NewTimer(DefaultNoProgress)
	defer stalled.Stop()
	for head := p.head(); head != nil; head = p.head() {
		select {
		case <-head.done:
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		case <-stalled.C:
			return nil, "", ingest.Errorf(ingest.KindTransient, "no bytes came for %s", DefaultNoProgress)
		}
		if err := head.check(); err != nil {
			return nil, "", err
		}
		content = append(content, head.bytes()...)
		p.release()
		stalled.Reset(DefaultNoProgress)
	}
	sum := sha256.Sum256(content)
	return content, hex.EncodeToString(sum[:]), nil
}
