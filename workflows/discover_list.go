package workflows

import (
	"fmt"

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
	listing := about(withListing(ctx), "list server "+d.name)
	var result activities.ListServerFilesResult
	d.listErr = whole(listing, do.ListServerFiles, activities.ListServerFilesInput{
		ServerUUID: d.in.ServerUUID, Source: d.in.Source, Force: d.force,
	}, &result)
	d.force = false
	d.halt(result.Paused, d.listErr)
	if d.listErr != nil || result.Paused {
		return
	}
	d.server, d.listedAt, d.seenAt, d.name = result, began, workflow.Now(ctx), result.ServerName
	d.summary.Listings++
	d.summary.Seen = result.Seen
	d.summary.New += result.New
	d.setSettling(result.Settling)
	d.backlog = true
}

// recheck looks at the settling files again.
func (d *discovery) recheck(ctx workflow.Context) {
	rechecking := about(withListing(ctx), fmt.Sprintf("look again at %d files that settle", d.settling))
	var result activities.RecheckSettlingResult
	err := whole(rechecking, do.RecheckSettling, activities.RecheckSettlingInput{ServerUUID: d.in.ServerUUID}, &result)
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
