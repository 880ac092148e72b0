package activities

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"stevedore/internal/ingest"
)

// HeartbeatEvery is the heartbeat interval of long steps. It is far below the shortest
// heartbeat timeout, so that a lost heartbeat does no harm, and short enough for progress
// displays.
const HeartbeatEvery = 2 * time.Second

// sparseEvery is the heartbeat interval of steps without visible progress, such as
// listings. Each heartbeat is a write to Temporal's database.
const sparseEvery = 10 * time.Second

// Progress is the heartbeat of a long step.
type Progress struct {
	// Done and Total are in bytes.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Rate is in bytes per second over the last heartbeats; 0 if not known yet.
	Rate float64 `json:"rate,omitempty"`
	// Refused is a server-level refusal of a login, see unlessRefused.
	Refused *ingest.Failure `json:"refused,omitempty"`
	// Position is the position of a listing; nil for other steps.
	Position *position `json:"position,omitempty"`
}

// watchOptions configures the watchdog of a long step.
type watchOptions struct {
	// Total is the step's work in bytes; 0 if unknown.
	Total int64
	// StallMessage begins the error after a stall; empty: no byte moved.
	StallMessage string
	// StallTimeout is the time without activity after which the step is ended; default
	// Deps.StallTimeout.
	StallTimeout time.Duration
	// Resumable: progress beyond the first report is kept for the next attempt, see
	// advanced.
	Resumable bool
	// Sparse: heartbeats without progress follow sparseEvery. Cancellations arrive with
	// a heartbeat.
	Sparse bool
	// StopsOnDrain: the step ends as soon as its worker shuts down. Other steps check
	// the worker's stop channel themselves, to finish a part first.
	StopsOnDrain bool
	// Position is the position of an earlier attempt of a listing, which is kept in the
	// heartbeats if this attempt makes no progress.
	Position *position
}

// watchdog heartbeats for a running step and ends it when it stalls.
type watchdog struct {
	watchOptions
	ctx     context.Context //nolint:containedctx // the activity's
	stepCtx context.Context //nolint:containedctx // the step's, which the watchdog cancels
	cancel  context.CancelCauseFunc
	ended   chan struct{}

	done        atomic.Int64 // reported progress
	firstReport atomic.Int64 // first reported progress plus 1; 0 before it
	liveness    atomic.Int64 // counts activity other than progress
	progressed  atomic.Bool  // the next attempt has less to do
	// position of a listing, nil otherwise; initially watchOptions.Position.
	position atomic.Pointer[position]
}

// watch starts a watchdog for a step whose reported progress is kept for the next attempt.
func (a *Activities) watch(ctx context.Context, total int64) (stepCtx context.Context, report func(int64), stop func(error) error) {
	stepCtx, w := a.startWatchdog(ctx, watchOptions{Total: total, Resumable: true})
	return stepCtx, w.report, w.stop
}

// startWatchdog heartbeats for a long step. It returns a context that is cancelled when
// the step shows no activity for its stall timeout. The caller must call stop.
//
// Heartbeats use the activity's own context, because those on a derived context are lost
// when that ends first.
func (a *Activities) startWatchdog(ctx context.Context, options watchOptions) (context.Context, *watchdog) {
	w := &watchdog{watchOptions: options, ctx: ctx, ended: make(chan struct{})}
	w.position.Store(options.Position)
	w.stepCtx, w.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(w.ended)
		w.run(cmp.Or(options.StallTimeout, a.StallTimeout))
	}()
	return w.stepCtx, w
}

// report sets the progress. An unchanged value is no activity.
func (w *watchdog) report(done int64) {
	w.done.Store(done)
	if !w.firstReport.CompareAndSwap(0, done+1) && w.Resumable && done >= w.firstReport.Load() {
		w.progressed.Store(true)
	}
}

// markAlive records activity other than progress.
func (w *watchdog) markAlive() { w.liveness.Add(1) }

// heartbeatNow sends a heartbeat immediately.
func (w *watchdog) heartbeatNow() {
	activity.RecordHeartbeat(w.ctx, Progress{Done: w.done.Load(), Total: w.Total, Position: w.position.Load()})
}

// markProgress records that the next attempt has less to do.
func (w *watchdog) markProgress() { w.progressed.Store(true) }

// stop ends the watchdog and returns the step's error. A stall is a transient error, a
// shutdown is ErrStopped, and an error after progress is wrapped in advanced.
func (w *watchdog) stop(err error) error {
	cause := context.Cause(w.stepCtx)
	w.cancel(nil)
	<-w.ended
	switch {
	case err == nil:
		return nil
	case errors.Is(cause, ingest.ErrStopped), errors.Is(cause, worker.ErrWorkerShutdown):
		err = ingest.ErrStopped
	case w.ctx.Err() == nil && isStalled(cause):
		err = cause
	}
	if w.progressed.Load() {
		return advanced{err}
	}
	return err
}

// stalled is the cancellation cause of a stall.
type stalled struct{ error }

func (s stalled) Unwrap() error { return s.error }

func isStalled(err error) bool {
	_, ok := err.(stalled) //nolint:errorlint // the cause is never wrapped
	return ok
}

// advanced is the error of an attempt that made progress. The next attempt may follow
// soon: on a connection that often breaks, increasing delays would take hours.
type advanced struct{ error }

func (a advanced) Unwrap() error { return a.error }

func (w *watchdog) run(timeout time.Duration) {
	tick := time.NewTicker(HeartbeatEvery)
	defer tick.Stop()
	lastDone, lastLiveness, movedAt, reportedAt := int64(-1), int64(0), time.Now(), time.Now()
	var speed meter
	var stops <-chan struct{}
	if w.StopsOnDrain {
		stops = activity.GetWorkerStopChannel(w.ctx)
	}
	for {
		done, liveness := w.done.Load(), w.liveness.Load()
		if !w.Sparse || done != lastDone || time.Since(reportedAt) >= sparseEvery-HeartbeatEvery/2 {
			reportedAt = time.Now()
			activity.RecordHeartbeat(w.ctx, Progress{Done: done, Total: w.Total, Rate: speed.at(reportedAt, done), Position: w.position.Load()})
		}
		if done != lastDone || liveness != lastLiveness {
			lastDone, lastLiveness, movedAt = done, liveness, time.Now()
		}
		if time.Since(movedAt) > timeout {
			w.cancel(stalled{w.stallError(timeout)})
			return
		}
		select {
		case <-w.stepCtx.Done():
			return
		case <-stops:
			w.cancel(ingest.ErrStopped)
			return
		case <-tick.C:
		}
	}
}

// stallError returns the error for a stall.
func (w *watchdog) stallError(timeout time.Duration) error {
	if w.StallMessage != "" {
		return ingest.Errorf(ingest.KindTransient, "%s for %s: closing the connection and retrying", w.StallMessage, timeout)
	}
	return ingest.Errorf(ingest.KindTransient, "no byte moved for %s (%d of %d bytes done): the peer keeps the connection open but sends nothing",
		timeout, w.done.Load(), w.Total)
}

// noAnswer returns the StallMessage of steps that only send requests to the server.
func noAnswer(server ingest.Server) string { return "server " + server.Name + " did not respond" }

// stallTimeout returns the stall timeout of a step that uses the server. It is longer than
// the timeouts of sessions and logins, whose errors are more specific.
func (a *Activities) stallTimeout(server ingest.Server) time.Duration {
	timeout := a.StallTimeout
	if server.AnswerTimeout > 0 {
		timeout = max(timeout, time.Duration(server.AnswerTimeout)+HeartbeatEvery)
	}
	if login := time.Duration(server.ConnectTimeout) + time.Duration(server.LoginTimeout); login > 0 {
		timeout = max(timeout, login+a.StallTimeout)
	}
	return timeout
}

// meter turns counts of bytes into a rate.
type meter struct {
	when time.Time
	done int64
	rate float64
}

// smoothing is the weight of the latest interval in a rate.
const smoothing = 0.4

// at adds a count and returns the rate in bytes per second. It ignores the bytes before the
// first count above 0, which a resumed copy has not transferred.
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
