package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
)

// list walks the server. A failure ends listing, not the files in flight; the
// next scheduled scan tries again.
func (d *discovery) list(ctx workflow.Context) {
	d.listDue = false
	began := workflow.Now(ctx)
	d.relist.stop()
	d.relist = nil
	d.describe(ctx, "lists the server")
	var result activities.ListServerFilesResult
	result, d.listErr = d.listServer(ctx)
	d.force = false
	defer d.drainListing(ctx, began)
	d.halt(result.Paused, d.listErr)
	if d.listErr != nil || result.Paused {
		return
	}
	d.server, d.listedAt, d.seenAt, d.name = result, began, workflow.Now(ctx), result.ServerName
	d.summary.Listings++
	d.summary.Seen = result.Seen
	d.summary.New += result.New
	d.setSettling(result.Settling)
	d.backlog = d.backlog || result.Dispatchable
}

// walk lists the server within the workflow task, where that takes moments, and
// otherwise by an activity of its own, whose attempts and progress can be seen.
func (d *discovery) listServer(ctx workflow.Context) (result activities.ListServerFilesResult, err error) {
	in := activities.ListServerFilesInput{ServerUUID: d.in.ServerUUID, Source: d.in.Source, Force: d.force}
	purpose := "list server " + d.name
	err = workflow.ExecuteLocalActivity(withTryListing(ctx, purpose), do.TryListing, in).Get(ctx, &result)
	if err == nil || temporal.IsCanceledError(err) {
		return result, err
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == activities.TypeNotThrough {
		_ = app.Details(&in.Leftover) // unreadable: nothing is left over
	} else if permanent(err) {
		return result, err
	}
	err = restartOnDrain(withSummary(withListing(ctx), purpose), do.ListServerFiles, in, &result)
	return result, err
}

// drainListing reads the rescans that came while the server was listed. The
// listing is what the schedule asks for; another one follows only if it succeeded
// and took longer than the interval. A server that does not answer would otherwise
// be listed without a pause.
func (d *discovery) drainListing(ctx workflow.Context, began time.Time) {
	slow := d.listErr == nil && d.server.ScanInterval > 0 && workflow.Now(ctx).Sub(began) >= d.server.ScanInterval
	for asked := (Rescan{}); d.rescan.ReceiveAsync(&asked); asked = (Rescan{}) {
		if !asked.Scheduled || slow {
			d.requestListing(asked)
		}
	}
}

// recheck looks at the settling files again.
func (d *discovery) recheck(ctx workflow.Context) {
	rechecking := withSummary(withListing(ctx), fmt.Sprintf("look again at %d files that settle", d.settling))
	var result activities.RecheckSettlingResult
	err := restartOnDrain(rechecking, do.RecheckSettling, activities.RecheckSettlingInput{ServerUUID: d.in.ServerUUID}, &result)
	d.halt(result.Paused, err)
	if err != nil || result.Paused {
		d.listErr = err
		d.setSettling(0)
		return
	}
	d.backlog = d.backlog || result.Ready > 0
	d.setSettling(result.Settling)
}

// halt takes note of what an activity says about the server: switched off, or
// at fault as a whole. Then nothing more of it is listed or started.
func (d *discovery) halt(paused bool, err error) {
	d.paused = d.paused || paused
	if err == nil {
		return
	}
	if kind, _ := failureOf(err); kind.ServerLevel() {
		d.suspended = true
	}
}

func (d *discovery) halted() bool { return d.suspended || d.paused }

func (d *discovery) setSettling(n int64) {
	d.settling, d.summary.Settling = n, n
	d.settle.stop()
	d.settle = nil
}
