package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"
)

// timer is a cancellable workflow timer; nil means that none is running.
type timer struct {
	future workflow.Future
	cancel workflow.CancelFunc
}

func newTimer(ctx workflow.Context, after time.Duration, purpose string) *timer {
	ctx, cancel := workflow.WithCancel(ctx)
	return &timer{future: workflow.NewTimerWithOptions(ctx, after, workflow.TimerOptions{Summary: purpose}), cancel: cancel}
}

// stop cancels the timer. It accepts a nil receiver.
func (t *timer) stop() {
	if t != nil {
		t.cancel()
	}
}

// on registers fired with the selector. It accepts a nil receiver.
func (t *timer) on(selector workflow.Selector, fired func()) {
	if t != nil {
		selector.AddFuture(t.future, func(workflow.Future) { fired() })
	}
}

// wait blocks until one event occurs and records it. Timers are kept between calls:
// setting them again each time would fill the history.
func (d *discovery) wait(ctx workflow.Context) (err error) {
	d.setTimers(ctx)
	recheck := false
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { err = ctx.Err() })
	selector.AddReceive(d.rescan, func(c workflow.ReceiveChannel, _ bool) {
		var asked Rescan
		c.Receive(ctx, &asked)
		d.requestListing(asked)
	})
	selector.AddReceive(d.freed, func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		d.wake()
	})
	d.settle.on(selector, func() { d.settle, recheck = nil, true })
	d.relist.on(selector, func() { d.relist, d.listDue = nil, true })
	d.deferred.on(selector, func() { d.deferred, d.backlog = nil, true })
	if d.dispatcher != nil {
		selector.AddFuture(d.dispatcher, func(workflow.Future) { err = d.dispatched(ctx) })
	}
	selector.Select(ctx)
	if err == nil && recheck && !d.halted() {
		err = d.recheck(ctx)
	}
	return err
}

// setTimers starts the timers that the state requires and that are not running.
func (d *discovery) setTimers(ctx workflow.Context) {
	if d.halted() {
		d.settle.stop()
		d.relist.stop()
		d.deferred.stop()
		d.settle, d.relist, d.deferred = nil, nil, nil
		return
	}
	if d.settling > 0 && d.settle == nil {
		d.settle = newTimer(ctx, max(d.server.Settle, time.Second), "settle time")
	}
	if d.dispatcher == nil { // the scan is about to end: the next one lists again
		d.relist.stop()
		d.relist = nil
	} else if d.relist == nil && d.listErr == nil && d.server.ScanInterval > 0 {
		d.relist = newTimer(ctx, max(d.listedAt.Add(d.server.ScanInterval).Sub(workflow.Now(ctx)), time.Second), "next listing")
	}
}
