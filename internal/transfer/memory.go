package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"stevedore/internal/ingest"
)

// Memory reads complete files into memory within a budget.
type Memory struct {
	*Budget
	// ReadAhead bounds the outstanding reads of all transfers; nil is unlimited.
	ReadAhead *ReadAhead
	// PaceWindow is the time that a source may stay below its minimum rate; default
	// DefaultPaceWindow.
	PaceWindow time.Duration
}

// ReadWhole reads exactly size bytes from the source, with several outstanding
// reads of at most 32 KiB, and returns them with their SHA-256 in lower-case hex.
// A shorter or longer source is KindChanged. A rate below minRate bytes per second
// for a minute is KindSlow; 0 disables the check. answerTimeout bounds the time without
// a byte; 0 means DefaultAnswerTimeout. Hanging reads end when the caller closes the
// source.
func (m Memory) ReadWhole(ctx context.Context, source io.ReaderAt, size, minRate int64, answerTimeout time.Duration) (content []byte, digest string, err error) {
	content = make([]byte, 0, size)
	p := newPipeline(source, 0, size, DefaultChunkSize, DefaultWindow, m.ReadAhead)
	defer p.close(DefaultDrainTimeout)
	pace := newPace(minRate, cmp.Or(m.PaceWindow, DefaultPaceWindow))
	for head := p.head(); head != nil; head = p.head() {
		if err := await(ctx, head, pace, cmp.Or(answerTimeout, DefaultAnswerTimeout)); err != nil {
			return nil, "", err
		}
		if err := head.check(); err != nil {
			return nil, "", err
		}
		got := head.bytes()
		content = append(content, got...)
		if err := pace.took(len(got)); err != nil {
			return nil, "", err
		}
		p.release()
	}
	sum := sha256.Sum256(content)
	return content, hex.EncodeToString(sum[:]), nil
}

// await waits for the read while the source keeps its minimum rate and returns a
// byte within answerTimeout.
func await(ctx context.Context, head *chunk, pace *pace, answerTimeout time.Duration) error {
	stalled := time.NewTimer(answerTimeout)
	defer stalled.Stop()
	over := pace.wait()
	defer pace.arrived()
	for {
		select {
		case <-head.done:
			return nil
		case <-over:
			pace.arrived()
			if err := pace.took(0); err != nil {
				return err
			}
			over = pace.wait()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stalled.C:
			return pace.stalled(ingest.Errorf(ingest.KindTransient, "received no data for %s"+slowHint, answerTimeout))
		}
	}
}
