package objstore

import (
	"sync"

	"stevedore/internal/ingest"
)

// progress counts the stored bytes and serializes the reports of concurrent parts.
// The reported count never decreases: a repeated pass is reported once it exceeds
// the last count.
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

// restart starts a pass that counts from zero.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = 0
}

// add counts n more bytes.
func (p *progress) add(n int64) {
	if p.moved != nil {
		p.moved() // a repeated pass also counts as activity
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

// sent counts n more bytes stored by this call.
func (p *progress) sent(n int64) {
	p.add(n)
	if p.stored != nil {
		p.stored()
	}
}
