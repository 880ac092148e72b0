package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"stevedore/internal/ingest"
)

// sender stores the parts of one upload side by side and keeps the checkpoint.
// Its methods are for one goroutine.
type sender struct {
	cfg DirectConfig
	req ingest.DirectTransfer
	ctx context.Context //nolint:containedctx // that of the parts under way
	// stored are the parts without a gap, which is what a checkpoint may list.
	stored ingest.TransferCheckpoint
	// later holds stored parts behind a gap, states the hash at the end of parts.
	later  map[int]ingest.Part
	states map[int][]byte
	// next is the number of the next part; flying counts those under way.
	next, flying int
	hands        chan struct{} // one for each part that may be begun
	idle         int           // hands that are not in the channel and hold no part
	results      chan partResult

	ticker *time.Ticker
	// begun is the offset of the newest save, written or being written, at its time.
	begun   int64
	begunAt time.Time
	saved   int64      // the offset of the newest save that is written
	saving  chan error // receives the outcome of the save under way; nil when none is
	failed  error      // of the first save that failed
}

type partResult struct {
	part ingest.Part
	err  error
}

// senderEvents are what the goroutine that owns a sender listens to.
type senderEvents struct {
	results <-chan partResult
	saved   <-chan error
	tick    <-chan time.Time
}

func newSender(ctx context.Context, d *Direct, req ingest.DirectTransfer, from ingest.TransferCheckpoint) *sender {
	s := &sender{
		cfg: d.cfg, req: req, ctx: ctx, stored: from, next: len(from.Parts) + 1,
		later: map[int]ingest.Part{}, states: map[int][]byte{},
		hands: make(chan struct{}, d.cfg.PartsInFlight), results: make(chan partResult, d.cfg.PartsInFlight),
		ticker: time.NewTicker(d.cfg.SaveInterval), begun: from.Offset, begunAt: time.Now(), saved: from.Offset, idle: d.cfg.PartsInFlight,
	}
	s.lend()
	return s
}

func (s *sender) events() senderEvents {
	return senderEvents{results: s.results, saved: s.saving, tick: s.ticker.C}
}

// send stores the next part, whose last byte was the last one hashed. The caller
// has taken a hand.
func (s *sender) send(part partBuffer, hashes sums) error {
	state, err := hashes.marshal()
	if err != nil {
		part.release()
		return err
	}
	number := s.next
	s.next++
	s.flying++
	s.states[number] = state
	go func() {
		stored, err := s.cfg.Parts.PutPart(s.ctx, ingest.PutPart{
			Key: s.req.Key, UploadID: s.req.UploadID, Number: number, Body: part.body, SHA256: sha256.Sum256(part.body), Moved: s.req.Moved,
		})
		part.release()
		s.results <- partResult{part: stored, err: err}
	}()
	return nil
}

// took notes the outcome of a part and saves if enough has come together.
func (s *sender) took(result partResult) error {
	s.flying--
	s.idle++
	defer s.lend()
	if result.err != nil {
		return result.err
	}
	s.later[result.part.Number] = result.part
	for {
		number := len(s.stored.Parts) + 1
		part, ok := s.later[number]
		if !ok {
			break
		}
		// Only ever appended to: checkpoints share the array.
		s.stored.Parts = append(s.stored.Parts, part)
		s.stored.Offset += part.Size
		s.stored.HashState = s.states[number]
		delete(s.later, number)
		delete(s.states, number)
	}
	s.save(s.due())
	return nil
}

// lend makes idle hands available, unless a kill would cost too much already: a
// ledger that is slow to save slows the transfer down.
func (s *sender) lend() {
	for s.idle > 0 && s.sent()-s.saved < 2*s.saveBytes() {
		s.idle--
		s.hands <- struct{}{} // never blocks: there is a place for every hand
	}
}

// sent is the offset up to which parts were begun.
func (s *sender) sent() int64 { return int64(s.next-1) * s.stored.PartSize }

// saveBytes is how many bytes that are stored and not saved make a save due.
func (s *sender) saveBytes() int64 { return max(s.cfg.SaveBytes, s.req.Size/1000) }

func (s *sender) due() bool {
	return s.stored.Offset-s.begun >= s.saveBytes() || time.Since(s.begunAt) >= s.cfg.SaveInterval
}

// save begins a save if it is due, there is something new and none is under way.
func (s *sender) save(due bool) {
	if !due || s.saving != nil || s.failed != nil || s.stored.Offset == s.begun {
		return
	}
	s.begun, s.begunAt = s.stored.Offset, time.Now()
	saving, checkpoint := make(chan error, 1), s.stored
	s.saving = saving
	go func() { saving <- s.req.Save(checkpoint) }()
}

// ended notes the outcome of the save that was under way.
func (s *sender) ended(err error) error {
	s.saving = nil
	if s.failed == nil {
		s.failed = err
	}
	if err == nil {
		s.saved = s.begun
		s.save(s.due())
		s.lend()
	}
	return err
}

// finish waits for the parts under way and saves what is stored. It returns
// cause, or what went wrong on the way if that is nil. After a failure parts get
// the grace only, and none once ctx has ended.
func (s *sender) finish(ctx context.Context, cause error, cancel context.CancelFunc) error {
	defer s.ticker.Stop()
	cause = s.drain(ctx, cause, cancel)
	if s.saving != nil {
		cause = first(cause, s.ended(<-s.saving))
	}
	s.save(true)
	if s.saving != nil {
		cause = first(cause, s.ended(<-s.saving))
	}
	return cause
}

// drain waits for the parts under way.
func (s *sender) drain(ctx context.Context, cause error, cancel context.CancelFunc) error {
	grace := time.NewTimer(s.cfg.StopGrace)
	defer grace.Stop()
	stop, done := s.req.Stop, ctx.Done()
	for s.flying > 0 {
		if cause == nil {
			grace.Reset(s.cfg.StopGrace) // it begins with the failure
		}
		select {
		case result := <-s.results:
			cause = first(cause, s.took(result))
		case err := <-s.saving:
			cause = first(cause, s.ended(err))
		case <-s.ticker.C:
			s.save(true)
		case <-grace.C:
			if cause != nil {
				cancel()
			}
		case <-stop:
			stop, cause = nil, first(cause, ingest.ErrStopped)
		case <-done: // and with it the parts
			done, cause = nil, first(cause, fmt.Errorf("transfer ended while parts were stored: %w", ctx.Err()))
		}
	}
	return cause
}

// first returns the first error that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
