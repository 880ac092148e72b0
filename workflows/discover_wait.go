package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
)

// started waits until the child has started. One that runs already is in
// flight all the same; one that cannot start stays ready for the next page.
func (d *discovery) started(ctx workflow.Context, file activities.ReadyFile, future workflow.ChildWorkflowFuture) {
	d.starts++
	err := future.GetChildWorkflowExecution().Get(ctx, nil)
	switch {
	case temporal.IsWorkflowExecutionAlreadyStartedError(err):
		d.carried = append(d.carried, file.UUID)
		if d.in.Since020 {
			d.closing = true
			d.check.stop()
			d.check = nil
		}
	case err != nil:
		workflow.GetLogger(ctx).Error("cannot start a file", "file", file.UUID, "error", err)
	default:
		d.children = append(d.children, child{fileUUID: file.UUID, done: future})
		d.summary.Started++
	}
}

// wait blocks until something happens and takes note of it. Timers outlive a
// call: setting and cancelling them anew each time would fill the history.
func (d *discovery) wait(ctx workflow.Context) error {
	d.arm(ctx)
	var checkCarried, recheck bool
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	selector.AddReceive(d.rescan, func(c workflow.ReceiveChannel, _ bool) {
		var asked Rescan
		c.Receive(ctx, &asked)
		d.ask(asked)
	})
	selector.AddReceive(d.freed, func(c workflow.ReceiveChannel, _ bool) {
		var freed SlotFreed
		c.Receive(ctx, &freed)
		d.release(freed)
	})
	watchChildren := func() {
		for _, c := range d.children {
			selector.AddFuture(c.done, func(workflow.Future) { d.release(SlotFreed{FileUUID: c.fileUUID}) })
		}
	}
	if !d.in.Since020 {
		watchChildren()
	}
	d.settle.on(selector, func() { d.settle, recheck = nil, true })
	d.relist.on(selector, func() { d.relist, d.listDue = nil, true })
	d.deferred.on(selector, func() { d.deferred, d.backlog = nil, true })
	d.check.on(selector, func() { d.check, checkCarried = nil, true })
	if d.in.Since020 {
		watchChildren()
	}
	selector.Select(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if recheck && (!d.in.Since020 || !d.halted()) {
		d.recheck(ctx)
	}
	if checkCarried {
		return d.askAfterCarried(ctx)
	}
	return nil
}

// arm sets the timers that the state asks for and that do not run yet.
func (d *discovery) arm(ctx workflow.Context) {
	if d.in.Since020 && d.halted() {
		d.settle.stop()
		d.relist.stop()
		d.deferred.stop()
		d.settle, d.relist, d.deferred = nil, nil, nil
	} else {
		d.armListing(ctx)
	}
	if len(d.carried) > 0 && d.check == nil {
		d.check = newTimer(ctx, d.checkAfter(), "files of an earlier run")
	}
}

// armListing sets the timers for looking at the server again.
func (d *discovery) armListing(ctx workflow.Context) {
	if d.settling > 0 && d.settle == nil {
		d.settle = newTimer(ctx, max(d.server.Settle, time.Second), "settle time")
	}
	if d.relist == nil && d.listErr == nil && len(d.inFlight()) > 0 && d.server.ScanInterval > 0 {
		d.relist = newTimer(ctx, max(d.listedAt.Add(d.server.ScanInterval).Sub(workflow.Now(ctx)), time.Second), "next listing")
	}
}

func (d *discovery) askAfterCarried(ctx workflow.Context) error {
	var open activities.OpenIngestsResult
	asking := about(withQuick(ctx), fmt.Sprintf("which of %d files of an earlier run are still on their way?", len(d.carried)))
	err := workflow.ExecuteActivity(asking, activities.NameOpenIngests, activities.OpenIngestsInput{
		FileUUIDs: d.carried,
	}).Get(ctx, &open)
	if err == nil {
		// A file that gave up its place is ready again once its workflow has ended.
		d.backlog = d.backlog || d.in.Since020 && len(open.FileUUIDs) < len(d.carried)
		d.carried = open.FileUUIDs
	}
	return err
}

// checkAfter is how long to wait before carried files are asked after. A ready
// file whose workflow was found running is most likely one that has just given
// up its place: its workflow ends within moments.
func (d *discovery) checkAfter() time.Duration {
	if d.closing {
		d.closing = false
		return closingCheck
	}
	return carriedCheck
}

func newTimer(ctx workflow.Context, after time.Duration, purpose string) *timer {
	ctx, cancel := workflow.WithCancel(ctx)
	return &timer{future: workflow.NewTimerWithOptions(ctx, after, workflow.TimerOptions{Summary: purpose}), cancel: cancel}
}

// stop cancels a running timer; a nil one is none.
func (t *timer) stop() {
	if t != nil {
		t.cancel()
	}
}

// on makes the selector react to the timer, if there is one.
func (t *timer) on(selector workflow.Selector, fired func()) {
	if t != nil {
		selector.AddFuture(t.future, func(workflow.Future) { fired() })
	}
}
