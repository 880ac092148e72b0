package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"stevedore/internal/ingest"
)

// sender stores the parts of one upload concurrently and maintains the checkpoint.
// Its methods are for one goroutine.
type sender struct {
	cfg DirectConfig
	req ingest.DirectTransfer
	ctx context.Context //nolint:containedctx // of the parts in flight
	// stored are the contiguous stored parts, as listed in the checkpoint.
	stored ingest.TransferCheckpoint
	// outOfOrder holds stored parts after a gap; states holds the hash state at the end of
	// each part.
	outOfOrder map[int]ingest.Part
	states     map[int][]byte
	// next is the number of the next part; inFlight is the number of parts in flight.
	next, inFlight int
	tokens         chan struct{} // one token for each part that may start
	idle           int           // tokens taken from the channel but not yet used for a part
	results        chan partResult

	ticker *time.Ticker
	// begun is the offset of the newest save, written or in progress, started at startedAt.
	begun     int64
	startedAt time.Time
	saved     int64      // the offset of the newest written save
	saving    chan error // receives the result of the save in progress; nil for none
	failed    error      // the error of the first failed save
}

type partResult struct {
	part ingest.Part
	err  error
}

// senderEvents are the channels to which the sender's goroutine listens.
type senderEvents struct {
	results <-chan partResult
	saved   <-chan error
	tick    <-chan time.Time
}

func newSender(ctx context.Context, d *Direct, req ingest.DirectTransfer, from ingest.TransferCheckpoint) *sender {
	s := &sender{
		cfg: d.cfg, req: req, ctx: ctx, stored: from, next: len(from.Parts) + 1,
		outOfOrder: map[int]ingest.Part{}, states: map[int][]byte{},
		tokens: make(chan struct{}, d.cfg.PartsInFlight), results: make(chan partResult, d.cfg.PartsInFlight),
		ticker: time.NewTicker(d.cfg.SaveInterval), begun: from.Offset, startedAt: time.Now(), saved: from.Offset, idle: d.cfg.PartsInFlight,
	}
	s.lend()
	return s
}

func (s *sender) events() senderEvents {
	return senderEvents{results: s.results, saved: s.saving, tick: s.ticker.C}
}

// send stores the next part, whose last byte was the last one hashed. The caller
// has received a token.
func (s *sender) send(part partBuffer, hashes sums) error {
	state, err := hashes.marshal()
	if err != nil {
		part.release()
		return err
	}
	number := s.next
	s.next++
	s.inFlight++
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

// took records the result of a part and saves a checkpoint if it is due.
func (s *sender) took(result partResult) error {
	s.inFlight--
	s.idle++
	defer s.lend()
	if result.err != nil {
		return result.err
	}
	s.outOfOrder[result.part.Number] = result.part
	for {
		number := len(s.stored.Parts) + 1
		part, ok := s.outOfOrder[number]
		if !ok {
			break
		}
		// Append only: checkpoints share the array.
		s.stored.Parts = append(s.stored.Parts, part)
		s.stored.Offset += part.Size
		s.stored.HashState = s.states[number]
		delete(s.outOfOrder, number)
		delete(s.states, number)
	}
	s.save(s.due())
	return nil
}

// lend makes idle tokens available, unless too many bytes are unsaved: a slow
// ledger slows the transfer down.
func (s *sender) lend() {
	for s.idle > 0 && s.sent()-s.saved < 2*s.saveBytes() {
		s.idle--
		s.tokens <- struct{}{} // never blocks: the channel has capacity for all tokens
	}
}

// sent returns the offset up to which parts were started.
func (s *sender) sent() int64 { return int64(s.next-1) * s.stored.PartSize }

// saveBytes returns the number of unsaved stored bytes after which a save is due.
func (s *sender) saveBytes() int64 { return max(s.cfg.SaveBytes, s.req.Size/1000) }

func (s *sender) due() bool {
	return s.stored.Offset-s.begun >= s.saveBytes() || time.Since(s.startedAt) >= s.cfg.SaveInterval
}

// save starts a save if it is due, there is progress and none is running.
func (s *sender) save(due bool) {
	if !due || s.saving != nil || s.failed != nil || s.stored.Offset == s.begun {
		return
	}
	s.begun, s.startedAt = s.stored.Offset, time.Now()
	saving, checkpoint := make(chan error, 1), s.stored
	s.saving = saving
	go func() { saving <- s.req.Save(checkpoint) }()
}

// ended records the result of the save.
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

// finish waits for the parts in flight and saves the progress. It returns cause,
// or the first error meanwhile if cause is nil. After a failure parts get
// StopGrace, and none once ctx has ended.
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

// drain waits for the parts in flight.
func (s *sender) drain(ctx context.Context, cause error, cancel context.CancelFunc) error {
	grace := time.NewTimer(s.cfg.StopGrace)
	defer grace.Stop()
	stop, done := s.req.Stop, ctx.Done()
	for s.inFlight > 0 {
		if cause == nil {
			grace.Reset(s.cfg.StopGrace) // the grace period begins with the first failure
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
		case <-done: // this also ends the parts
			done, cause = nil, first(cause, fmt.Errorf("transfer ended while parts were stored: %w", ctx.Err()))
		}
	}
	return cause
}

// first returns the first non-nil error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
