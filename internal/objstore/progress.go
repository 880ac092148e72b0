package objstore

import (
	"sync"

	"stevedore/internal/ingest"
)

// progress counts the bytes that are safe in the store and reports them one
// call at a time, although parts finish side by side. The count never falls:
// a round that starts over is reported once it is past the last one.
type progress struct {
	moved  func() // may be nil
	stored func() // may be nil

	mu       sync.Mutex
	report   func(int64)
	now      int64
	reported int64
}

func newProgress(req ingest.Put) *progress {
	return &progress{report: req.Progress, moved: req.Moved, stored: req.Stored}
}

// restart begins a round that counts from zero.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = 0
}

// add counts n more bytes.
func (p *progress) add(n int64) {
	if p.moved != nil {
		p.moved() // a round that starts over is not reported, and moves all the same
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(p.now + n)
}

// done reports the final count.
func (p *progress) done(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(total)
}

func (p *progress) tell(now int64) {
	p.now = now
	if p.report == nil || now <= p.reported {
		return
	}
	p.reported = now
	p.report(now)
}

// sent counts n more bytes that this call has made safe.
func (p *progress) sent(n int64) {
	p.add(n)
	if p.stored != nil {
		p.stored()
	}
}
