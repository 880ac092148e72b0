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

// HeartbeatEvery is how often a long step reports: far below the shortest
// heartbeat time-out, so that a lost report does no harm, and often enough for
// people who watch. Workers pass on every report.
const HeartbeatEvery = 2 * time.Second

// sparseEvery is how often steps without progress report that no person watches,
// such as listings of silent servers. Each report is a write of Temporal to its database.
const sparseEvery = 10 * time.Second

// Progress is what a long step reports in its heartbeats.
type Progress struct {
	// Done and Total are in bytes.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Rate is in bytes per second over the last reports; 0 when not known yet.
	Rate float64 `json:"rate,omitempty"`
	// Refused is what the server as a whole answered to a log-in, see unlessRefused.
	Refused *ingest.Failure `json:"refused,omitempty"`
	// Place is how far a listing came.
	Position *position `json:"place,omitempty"`
}

// watched says how a long step is watched over.
type watchOptions struct {
	// Total is the step's work in bytes; 0 when nobody knows.
	Total int64
	// Silence is what the watchdog says about the peer; empty: no byte moved.
	StallMessage string
	// Patience is how long nothing may move; default NoProgress.
	StallTimeout time.Duration
	// Lasts says that what is reported beyond the first report is there for the
	// next attempt, too: see advanced.
	Resumable bool
	// Sparse says that reports without progress follow sparseEvery. A cancellation
	// arrives with a report.
	Sparse bool
	// Yields says that the step is ended as soon as its worker shuts down. Steps
	// that have something to bring to an end first ask by themselves.
	StopsOnDrain bool
	// Place is how far an attempt before came with a listing; the next one must know it
	// also if this one gets nowhere.
	Position *position
}

// watchdog is a long step under way, as its watchdog sees it.
type watchdog struct {
	watchOptions
	ctx     context.Context //nolint:containedctx // the activity's own, which tells its end from the watchdog's
	stepCtx context.Context //nolint:containedctx // what the step works with
	cancel  context.CancelCauseFunc
	ended   chan struct{}

	done        atomic.Int64 // as people see it
	firstReport atomic.Int64 // the first report and one more; 0 before it
	liveness    atomic.Int64 // of life besides
	progressed  atomic.Bool  // something was done that the next attempt need not do
	// place is that of a listing, nil otherwise; at first watched.Place.
	position atomic.Pointer[position]
}

// watch is watchAs for a transfer whose reported bytes are checkpointed.
func (a *Activities) watch(ctx context.Context, total int64) (under context.Context, report func(int64), stop func(error) error) {
	under, m := a.startWatchdog(ctx, watchOptions{Total: total, Resumable: true})
	return under, m.report, m.stop
}

// watchAs heartbeats for a long step and ends it when nothing moves: it returns
// a context that is cancelled when there is neither progress nor a sign of life
// for its patience. The watchdog's stop must be called.
//
// Heartbeats use the activity's own context: reports made on a derived one are
// lost when that ends first.
func (a *Activities) startWatchdog(ctx context.Context, how watchOptions) (context.Context, *watchdog) {
	m := &watchdog{watchOptions: how, ctx: ctx, ended: make(chan struct{})}
	m.position.Store(how.Position)
	m.stepCtx, m.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(m.ended)
		m.run(cmp.Or(how.StallTimeout, a.NoProgress))
	}()
	return m.stepCtx, m
}

// report says how much is done. The same count again is no movement.
func (m *watchdog) report(done int64) {
	m.done.Store(done)
	if !m.firstReport.CompareAndSwap(0, done+1) && m.Resumable && done >= m.firstReport.Load() {
		m.progressed.Store(true)
	}
}

// moved is a sign of life: something went on that the progress does not show.
func (m *watchdog) markAlive() { m.liveness.Add(1) }

// beatNow reports out of turn.
func (m *watchdog) heartbeatNow() {
	activity.RecordHeartbeat(m.ctx, Progress{Done: m.done.Load(), Total: m.Total, Position: m.position.Load()})
}

// keep says that something is done that the next attempt need not do again.
func (m *watchdog) markProgress() { m.progressed.Store(true) }

// stop ends the watch and explains the step's error: what the watchdog did is a
// transient error, not a cancellation, what a shutdown did is ErrStopped, and an
// error after progress is advanced.
func (m *watchdog) stop(err error) error {
	cause := context.Cause(m.stepCtx)
	m.cancel(nil)
	<-m.ended
	switch {
	case err == nil:
		return nil
	case errors.Is(cause, ingest.ErrStopped), errors.Is(cause, worker.ErrWorkerShutdown):
		err = ingest.ErrStopped
	case m.ctx.Err() == nil && isStalled(cause):
		err = cause
	}
	if m.progressed.Load() {
		return advanced{err}
	}
	return err
}

// stalled is the cause with which the watchdog cancels.
type stalled struct{ error }

func (s stalled) Unwrap() error { return s.error }

func isStalled(err error) bool {
	_, ok := err.(stalled) //nolint:errorlint // the cause is never wrapped
	return ok
}

// advanced is the error of an attempt after which less is left to do. The next
// one may follow at once: on a line that breaks again and again, backing off
// ever longer would take hours for what the line carries in minutes.
type advanced struct{ error }

func (a advanced) Unwrap() error { return a.error }

func (m *watchdog) run(patience time.Duration) {
	tick := time.NewTicker(HeartbeatEvery)
	defer tick.Stop()
	lastDone, lastSigns, movedAt, reportedAt := int64(-1), int64(0), time.Now(), time.Now()
	var speed meter
	var stops <-chan struct{}
	if m.StopsOnDrain {
		stops = activity.GetWorkerStopChannel(m.ctx)
	}
	for {
		done, signs := m.done.Load(), m.liveness.Load()
		if !m.Sparse || done != lastDone || time.Since(reportedAt) >= sparseEvery-HeartbeatEvery/2 {
			reportedAt = time.Now()
			activity.RecordHeartbeat(m.ctx, Progress{Done: done, Total: m.Total, Rate: speed.at(reportedAt, done), Position: m.position.Load()})
		}
		if done != lastDone || signs != lastSigns {
			lastDone, lastSigns, movedAt = done, signs, time.Now()
		}
		if time.Since(movedAt) > patience {
			m.cancel(stalled{m.stallError(patience)})
			return
		}
		select {
		case <-m.stepCtx.Done():
			return
		case <-stops:
			m.cancel(ingest.ErrStopped)
			return
		case <-tick.C:
		}
	}
}

// silent says what stood still.
func (m *watchdog) stallError(patience time.Duration) error {
	if m.StallMessage != "" {
		return ingest.Errorf(ingest.KindTransient, "%s for %s: the connection is given up and made again", m.StallMessage, patience)
	}
	return ingest.Errorf(ingest.KindTransient, "no byte moved for %s (%d of %d bytes done): the peer holds the connection but sends nothing",
		patience, m.done.Load(), m.Total)
}

// silence is what the watchdog says about a server that is only asked things.
func noAnswer(server ingest.Server) string { return "server " + server.Name + " has answered nothing" }

// patience is how long nothing may move in a step that works with the server, before
// the watchdog ends it: longer than its sessions wait, which say it better, and longer
// than a log-in may take.
func (a *Activities) stallTimeout(server ingest.Server) time.Duration {
	patience := a.NoProgress
	if server.AnswerTimeout > 0 {
		patience = max(patience, time.Duration(server.AnswerTimeout)+HeartbeatEvery)
	}
	if login := time.Duration(server.ConnectTimeout) + time.Duration(server.LoginTimeout); login > 0 {
		patience = max(patience, login+a.NoProgress)
	}
	return patience
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
