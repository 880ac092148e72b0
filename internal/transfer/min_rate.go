package transfer

import (
	"time"

	"stevedore/internal/ingest"
)

// DefaultPaceWindow is the time that a source may stay below the minimum rate.
const DefaultPaceWindow = time.Minute

// slowHint is the advice for slow servers.
const slowHint = "; if the server is slow, raise --answer-timeout"

// pace ends a transfer whose source stays below a minimum rate for a window. Only the
// time spent waiting for the source counts, not the time of a slow store or disk.
type pace struct {
	least  int64 // bytes per second; 0 disables the check
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

// wait starts waiting for the source. The channel receives at the end of the
// window; it is nil without a minimum rate.
func (p *pace) wait() (over <-chan time.Time) {
	p.since = time.Now()
	if p.least <= 0 {
		return nil
	}
	p.timer.Reset(max(p.window-p.waited, 0))
	return p.timer.C
}

// arrived ends the wait.
func (p *pace) arrived() {
	p.timer.Stop()
	p.waited += time.Since(p.since)
}

// took counts received bytes. It returns KindSlow at the end of a window with too
// few bytes.
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

// stalled returns the error for a source that returns nothing: err or, below the
// minimum rate, KindSlow, which defers the file.
func (p *pace) stalled(err error) error {
	if p.least <= 0 || float64(p.bytes) >= float64(p.least)*p.waited.Seconds() {
		return err
	}
	return p.slow(float64(p.bytes) / p.waited.Seconds())
}

func (p *pace) slow(rate float64) error {
	return ingest.Errorf(ingest.KindSlow, "the server sent %.0f bytes/s for %s, below its minimum rate of %d (--min-rate): the file is deferred and resumed later",
		rate, p.window, p.least)
}
