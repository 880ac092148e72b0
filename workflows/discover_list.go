package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// list lists the server and records a failure, which does not stop the files in flight;
// the next scheduled scan lists again.
func (d *discovery) list(ctx workflow.Context) error {
	d.listDue = false
	started := workflow.Now(ctx)
	d.relist.stop()
	d.relist = nil
	d.describe(ctx, "lists the server")
	result, err := d.listServer(ctx)
	d.force, d.origin = false, ingest.ScanOrigin{}
	defer d.drainListing(ctx, started)
	if marked := d.setListErr(ctx, err); marked != nil || err != nil || result.Paused {
		d.halt(result.Paused, err)
		return marked
	}
	d.server, d.listedAt, d.seenAt, d.name = result, started, workflow.Now(ctx), result.ServerName
	d.summary.Listings++
	d.summary.Seen = result.Seen
	d.summary.New += result.New
	d.setSettling(result.Settling)
	d.backlog = d.backlog || result.Dispatchable
	return nil
}

// listServer lists within the workflow task if the listing is complete within TryLimit, a few
// seconds. Otherwise an activity lists, whose attempts and progress are visible.
func (d *discovery) listServer(ctx workflow.Context) (result activities.ListServerFilesResult, err error) {
	in := activities.ListServerFilesInput{ServerUUID: d.in.ServerUUID, Source: cmp.Or(d.origin.Source, ingest.SourceSchedule), RequestedBy: d.origin.RequestedBy, Force: d.force}
	purpose := "list server " + d.name
	err = workflow.ExecuteLocalActivity(withTryListing(ctx, purpose), do.TryListing, in).Get(ctx, &result)
	if err == nil || temporal.IsCanceledError(err) {
		return result, err
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == activities.TypeListingIncomplete {
		_ = app.Details(&in.Leftover) // unreadable details: nothing to carry over
	} else if permanent(err) {
		return result, err
	}
	err = restartOnDrain(withSummary(withListing(ctx), purpose), do.ListServerFiles, in, &result)
	return result, err
}

// drainListing reads the rescans that arrived during the listing. The listing itself
// serves scheduled ones; another follows only if it succeeded and took longer than the
// interval. Otherwise an unreachable server would be listed without a pause.
func (d *discovery) drainListing(ctx workflow.Context, started time.Time) {
	slow := d.listErr == nil && d.server.ScanInterval > 0 && workflow.Now(ctx).Sub(started) >= d.server.ScanInterval
	for asked := (Rescan{}); d.rescan.ReceiveAsync(&asked); asked = (Rescan{}) {
		if !asked.Scheduled || slow {
			d.requestListing(asked)
		}
	}
}

// setListErr records the result of contacting the server in the summary and, when it
// changes, in the search attribute. The activity recorded it in the ledger.
func (d *discovery) setListErr(ctx workflow.Context, err error) error {
	failed := d.summary.Failure != nil
	d.listErr, d.summary.Failure = err, nil
	if err != nil {
		kind, message := failureOf(err)
		d.summary.Failure = &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: message}
	}
	switch {
	case err == nil && failed:
		return workflow.UpsertTypedSearchAttributes(ctx, searchStatus.ValueUnset())
	case err != nil && !failed && !temporal.IsCanceledError(err):
		return workflow.UpsertTypedSearchAttributes(ctx, searchStatus.ValueSet(string(ingest.StatusError)))
	default:
		return nil
	}
}

// recheck stats the settling files again.
func (d *discovery) recheck(ctx workflow.Context) error {
	rechecking := withSummary(withListing(ctx), fmt.Sprintf("recheck %d settling files", d.settling))
	var result activities.RecheckSettlingResult
	err := restartOnDrain(rechecking, do.RecheckSettling, activities.RecheckSettlingInput{ServerUUID: d.in.ServerUUID}, &result)
	d.halt(result.Paused, err)
	if err != nil || result.Paused {
		d.setSettling(0)
		return d.setListErr(ctx, err)
	}
	d.backlog = d.backlog || result.Ready > 0
	d.setSettling(result.Settling)
	return nil
}

// halt records that the server is paused or, from a server-level error, suspended.
// Nothing more of it is listed or started then.
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
