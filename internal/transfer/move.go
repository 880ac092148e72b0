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

// move reads one file in order: into the parts that its sender stores, or into
// one buffer that it keeps.
type move struct {
	*Direct
	req    ingest.DirectTransfer
	source io.ReaderAt
	sums   sums
	// offset is how many bytes were read and hashed.
	offset int64
	// out takes full parts; nil for a file that stays in memory.
	out *sender
	// part is being filled, with filled bytes; nil between two parts.
	part   *partBuffer
	filled int
	pace   *pace
}

func newMove(d *Direct, req ingest.DirectTransfer, from ingest.TransferCheckpoint, hashes sums) *move {
	return &move{Direct: d, req: req, source: req.Source, sums: hashes, offset: from.Offset, pace: newPace(req.MinRate, d.cfg.PaceWindow)}
}

// run reads until all bytes were handed on or something ends it. A connection
// that breaks is made again as long as each one brings bytes: otherwise a line
// that breaks once in every part would never get a part through.
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

// broken reports whether another connection may bring what this one did not.
func (m *move) broken(ctx context.Context, err error) bool {
	_, line := err.(lineError) //nolint:errorlint // made by this package and not wrapped
	return line && ctx.Err() == nil && !ingest.KindOf(err).Permanent()
}

// drop gives back the memory of a part that is not complete.
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
	silence := cmp.Or(m.req.Silence, m.cfg.NoProgress)
	stalled := time.NewTimer(silence)
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
		stalled.Reset(silence) // here: waiting for the store is not the source's fault
		if err := m.pace.took(head.n); err != nil {
			return err
		}
	}
	return nil
}

// take hashes bytes and puts them into parts.
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
			if err := m.handOn(ctx); err != nil {
				return err
			}
		}
	}
	m.progress()
	return nil
}

// nextPart takes memory for the part that begins at the offset.
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

// handOn gives the full part to the sender once that has a hand free.
func (m *move) handOn(ctx context.Context) error {
	if err := m.await(ctx, m.out.hands, nil, nil); err != nil {
		return err
	}
	part := *m.part
	m.part = nil
	return m.out.send(part, m.sums)
}

// awaitSource is await for bytes of the source, which must keep its pace.
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

// errPaceOver says that a window of the pace is over.
var errPaceOver = errors.New("the window of the pace is over")

// await returns nil once ready can be received from. Meanwhile it looks after
// what the sender has stored.
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
			return m.pace.stalled(lineError{ingest.Errorf(ingest.KindTransient, "no bytes came for %s at byte %d of %d: the connection is closed and made again"+slowHint, cmp.Or(m.req.Silence, m.cfg.NoProgress), m.offset, m.req.Size)})
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

// progress tells the caller how far the transfer is.
func (m *move) progress() {
	if m.req.Progress != nil {
		m.req.Progress(m.offset)
	}
}
