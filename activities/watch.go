package activities

import (
	"context"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// HeartbeatEvery is how often a long step reports: far below the shortest
// heartbeat time-out, so that a lost report does no harm, and often enough for
// people who watch. Workers pass on every report.
const HeartbeatEvery = 2 * time.Second

// Progress is what a long step reports in its heartbeats.
type Progress struct {
	// Done and Total are in bytes.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Rate is in bytes per second over the last reports; 0 when not known yet.
	Rate float64 `json:"rate,omitempty"`
	// Refused is what the server as a whole answered to a log-in, see unlessRefused.
	Refused *ingest.Failure `json:"refused,omitempty"`
}

// watch heartbeats for a long step and ends it when nothing moves. It returns
// a context that is cancelled when no progress is reported for NoProgress, the
// function to report with, and stop, which must be called and which explains a
// context error: the watchdog's doing is a transient error, not a cancellation.
//
// Heartbeats use the activity's own context: reports made on a derived one are
// lost when that ends first.
func (a *Activities) watch(ctx context.Context, total int64) (watched context.Context, report func(int64), stop func(error) error) {
	watched, cancel := context.WithCancelCause(ctx)
	var done atomic.Int64
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		a.heartbeat(ctx, watched, cancel, &done, total)
	}()
	stop = func(err error) error {
		cause := context.Cause(watched)
		cancel(nil)
		<-finished
		if err != nil && ctx.Err() == nil && ingest.KindOf(cause) == ingest.KindTransient && isStalled(cause) {
			return cause
		}
		return err
	}
	return watched, done.Store, stop
}

// stalled is the cause with which the watchdog cancels.
type stalled struct{ error }

func (s stalled) Unwrap() error { return s.error }

func isStalled(err error) bool {
	_, ok := err.(stalled) //nolint:errorlint // the cause is never wrapped
	return ok
}

func (a *Activities) heartbeat(ctx, watched context.Context, cancel context.CancelCauseFunc, done *atomic.Int64, total int64) {
	tick := time.NewTicker(HeartbeatEvery)
	defer tick.Stop()
	last, movedAt := int64(-1), time.Now()
	var speed meter
	for {
		now := done.Load()
		activity.RecordHeartbeat(ctx, Progress{Done: now, Total: total, Rate: speed.at(time.Now(), now)})
		if now != last {
			last, movedAt = now, time.Now()
		}
		if time.Since(movedAt) > a.NoProgress {
			cancel(stalled{ingest.Errorf(ingest.KindTransient,
				"no byte moved for %s (%d of %d bytes done): the peer holds the connection but sends nothing", a.NoProgress, now, total)})
			return
		}
		select {
		case <-watched.Done():
			return
		case <-tick.C:
		}
	}
}

// meter turns counts of bytes into a rate.
type meter struct {
	when time.Time
	done int64
	rate float64
}

// smoothing is the weight of the latest interval in a rate.
const smoothing = 0.4

// at takes a count and returns the rate in bytes per second. Counting begins
// with the first count above 0: a resumed copy starts where it was left, and
// what lies before is no speed.
func (m *meter) at(when time.Time, done int64) float64 {
	if m.done > 0 && when.After(m.when) {
		latest := max(0, float64(done-m.done)/when.Sub(m.when).Seconds())
		if m.rate == 0 {
			m.rate = latest
		}
		m.rate += smoothing * (latest - m.rate)
	}
	m.when, m.done = when, done
	return m.rate
}
