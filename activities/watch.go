package activities

import (
	"context"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// heartbeatEvery is how often a long step reports. It is a third of the
// shortest heartbeat time-out, so that one lost report does no harm.
const heartbeatEvery = 5 * time.Second

// Progress is what a long step reports in its heartbeats, in bytes.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
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
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	last, movedAt := int64(-1), time.Now()
	for {
		now := done.Load()
		activity.RecordHeartbeat(ctx, Progress{Done: now, Total: total})
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
