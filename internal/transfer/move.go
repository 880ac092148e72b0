package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stevedore/internal/ingest"
)

// move reads one file in order, either into parts for its sender or into one buffer.
type move struct {
	*Direct
	req    ingest.DirectTransfer
	source io.ReaderAt
	sums   sums
	// offset is the number of bytes read and hashed.
	offset int64
	// out stores full parts; nil for a file that stays in memory.
	out *sender
	// part is the part being filled, with filled bytes; nil between two parts.
	part   *partBuffer
	filled int
	pace   *pace
}

func newMove(d *Direct, req ingest.DirectTransfer, from ingest.TransferCheckpoint, hashes sums) *move {
	return &move{Direct: d, req: req, source: req.Source, sums: hashes, offset: from.Offset, pace: newPace(req.MinRate, d.cfg.PaceWindow)}
}

// run reads until all bytes are handed on or an error ends it. A broken connection
// is reopened as long as each one returned bytes: otherwise a connection that
// breaks once during each part would never complete a part.
func (m *move) run(ctx context.Context) error {
	defer m.drop()
	for {
		from := m.offset
		err := m.pump(ctx)
		if err == nil || m.req.Reopen == nil || m.offset == from || !m.broken(ctx, err) {
			return err
		}
		if m.source, err = m.req.Reopen(ctx); err != nil {
			return fmt.Errorf("reconnect at byte %d of %d: %w", m.offset, m.req.Size, err)
		}
	}
}

// lineError is an error of the source's connection.
type lineError struct{ error }

func (e lineError) Unwrap() error { return e.error }

// broken reports whether a new connection may succeed.
func (m *move) broken(ctx context.Context, err error) bool {
	_, line := err.(lineError) //nolint:errorlint // made by this package and not wrapped
	return line && ctx.Err() == nil && !ingest.KindOf(err).Permanent()
}

// drop releases the memory of an incomplete part.
func (m *move) drop() {
	if m.part != nil && m.out != nil {
		m.part.release()
		m.part = nil
	}
}

// pump reads from one source.
func (m *move) pump(ctx context.Context) error {
	p := newPipeline(m.source, m.offset, m.req.Size, m.cfg.ChunkSize, m.cfg.Window, m.cfg.ReadAhead)
	defer p.close(m.cfg.DrainTimeout)
	answerTimeout := cmp.Or(m.req.AnswerTimeout, m.cfg.AnswerTimeout)
	stalled := time.NewTimer(answerTimeout)
	defer stalled.Stop()
	for head := p.head(); head != nil; head = p.head() {
		if err := m.awaitSource(ctx, head.done, stalled.C); err != nil {
			return err
		}
		if err := head.check(); err != nil {
			return lineError{err}
		}
		if err := m.take(ctx, head.bytes()); err != nil {
			return err
		}
		p.release()
		stalled.Reset(answerTimeout) // after take, so that waiting for the store does not count
		if err := m.pace.took(head.n); err != nil {
			return err
		}
	}
	return nil
}

// take hashes the bytes and appends them to parts.
func (m *move) take(ctx context.Context, bytes []byte) error {
	m.sums.write(bytes)
	m.offset += int64(len(bytes))
	for len(bytes) > 0 {
		if m.part == nil {
			if err := m.nextPart(ctx, m.offset-int64(len(bytes))); err != nil {
				return err
			}
		}
		n := copy(m.part.body[m.filled:], bytes)
		m.filled, bytes = m.filled+n, bytes[n:]
		if m.filled == len(m.part.body) && m.out != nil {
			if err := m.sendPart(ctx); err != nil {
				return err
			}
		}
	}
	m.progress()
	return nil
}

// nextPart acquires memory for the part that starts at the offset.
func (m *move) nextPart(ctx context.Context, offset int64) error {
	acquiring, cancel := context.WithCancel(ctx)
	defer cancel()
	var got partBuffer
	var failed error
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		got, failed = m.buffer(acquiring, min(m.out.stored.PartSize, m.req.Size-offset))
	}()
	err := m.await(ctx, ready, nil, nil)
	if err != nil {
		cancel()
		<-ready
		if failed == nil {
			got.release()
		}
		return err
	}
	if failed != nil {
		return failed
	}
	m.part, m.filled = &got, 0
	return nil
}

// sendPart passes the full part to the sender once it has a free slot.
func (m *move) sendPart(ctx context.Context) error {
	if err := m.await(ctx, m.out.tokens, nil, nil); err != nil {
		return err
	}
	part := *m.part
	m.part = nil
	return m.out.send(part, m.sums)
}

// awaitSource is await for bytes of the source, which must keep its minimum rate.
func (m *move) awaitSource(ctx context.Context, ready <-chan struct{}, stalled <-chan time.Time) error {
	for {
		over := m.pace.wait()
		err := m.await(ctx, ready, stalled, over)
		if err == nil || err == errPaceOver { //nolint:errorlint // never wrapped
			m.pace.arrived()
		}
		if err != errPaceOver { //nolint:errorlint // never wrapped
			return err
		}
		if err := m.pace.took(0); err != nil {
			return err
		}
	}
}

// errPaceOver reports the end of a pace window.
var errPaceOver = errors.New("the window of the pace is over")

// await waits until ready receives. Meanwhile it processes results of the sender.
func (m *move) await(ctx context.Context, ready <-chan struct{}, stalled, over <-chan time.Time) error {
	var events senderEvents
	if m.out != nil {
		events = m.out.events()
	}
	for {
		select {
		case <-ready:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("transfer ended at byte %d of %d: %w", m.offset, m.req.Size, ctx.Err())
		case <-m.req.Stop:
			return ingest.ErrStopped
		case <-over:
			return errPaceOver
		case <-stalled:
			m.pace.arrived()
			return m.pace.stalled(lineError{ingest.Errorf(ingest.KindTransient, "received no data for %s at byte %d of %d: the connection is closed and reopened"+slowHint, cmp.Or(m.req.AnswerTimeout, m.cfg.AnswerTimeout), m.offset, m.req.Size)})
		case result := <-events.results:
			if err := m.out.took(result); err != nil {
				return err
			}
		case err := <-events.saved:
			if err := m.out.ended(err); err != nil {
				return err
			}
		case <-events.tick:
			m.out.save(true)
		}
		if m.out != nil {
			events = m.out.events()
		}
	}
}

// progress reports the offset to the caller.
func (m *move) progress() {
	if m.req.Progress != nil {
		m.req.Progress(m.offset)
	}
}
