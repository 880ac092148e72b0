package transfer

import (
	"time"

	"stevedore/internal/ingest"
)

// DefaultPaceWindow is how long a source may stay below the minimum rate.
const DefaultPaceWindow = time.Minute

// slowHint is what helps against a source that is only slow to begin.
const slowHint = "; if the server is slow, raise --answer-timeout"

// pace ends a transfer whose source stays below a minimum rate for a window. Only
// the time that is waited for the source counts: a slow store or disk is not its
// fault.
type pace struct {
	least  int64 // bytes per second; 0 for any
	window time.Duration
	bytes  int64
	waited time.Duration
	since  time.Time
	timer  *time.Timer
}

func newPace(least int64, window time.Duration) *pace {
	timer := time.NewTimer(window)
	timer.Stop()
	return &pace{least: least, window: window, timer: timer}
}

// wait begins to wait for the source. The channel, nil where any rate will do, gets
// a time when the window is over.
func (p *pace) wait() (over <-chan time.Time) {
	p.since = time.Now()
	if p.least <= 0 {
		return nil
	}
	p.timer.Reset(max(p.window-p.waited, 0))
	return p.timer.C
}

// arrived notes that the wait is over.
func (p *pace) arrived() {
	p.timer.Stop()
	p.waited += time.Since(p.since)
}

// took notes that bytes came. The error, of KindSlow, says that the window is over
// and that they were too few.
func (p *pace) took(bytes int) error {
	p.bytes += int64(bytes)
	if p.least <= 0 || p.waited < p.window {
		return nil
	}
	rate := float64(p.bytes) / p.waited.Seconds()
	p.bytes, p.waited = 0, 0
	if rate >= float64(p.least) {
		return nil
	}
	return p.slow(rate)
}

// stalled returns the error of a source that brings nothing at all: err, or where
// there is a minimum rate that of one that is slow, whose file gives way to others.
func (p *pace) stalled(err error) error {
	if p.least <= 0 || float64(p.bytes) >= float64(p.least)*p.waited.Seconds() {
		return err
	}
	return p.slow(float64(p.bytes) / p.waited.Seconds())
}

func (p *pace) slow(rate float64) error {
	return ingest.Errorf(ingest.KindSlow, "the server sent %.0f bytes/s for %s, below its minimum rate of %d (--min-rate): the file is tried again later, from where it stopped",
		rate, p.window, p.least)
}
