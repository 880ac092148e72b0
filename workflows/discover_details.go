package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"stevedore/internal/temporalnames"
)

// state returns the state of the scan for users.
func (d *discovery) state() string {
	switch {
	case d.paused:
		return "waits for the files in flight; its server is paused and no other file is started"
	case d.suspended:
		return "waits for the files in flight; its server is suspended and no other file is started"
	case d.settling > 0:
		return "waits for files to settle"
	case d.dispatcher != nil:
		return "waits for the files in flight; its dispatcher starts ready files"
	case d.deferred != nil:
		return "waits until deferred files are due"
	default:
		return "checks for ready files"
	}
}

// describe sets the details in Temporal's Web UI. Details are not part of the history.
func (d *discovery) describe(ctx workflow.Context, state string) {
	text := fmt.Sprintf("The scan of server %s **%s**.\n\n%d entries seen, %d new, %d settling. Concurrency limit: %d. Started by finished dispatchers: %d.",
		code(d.name), state, d.summary.Seen, d.summary.New, d.settling, d.server.MaxParallel, d.summary.Started)
	if !d.listedAt.IsZero() {
		text += " Last listing: started " + d.listedAt.UTC().Format(time.DateTime) + " UTC."
	}
	if failure := d.summary.Failure; failure != nil {
		text += "\n\nThe last listing failed: " + quote(failure.Message) +
			". The next scheduled scan retries it. To find the cause: " + code("stevedore server test "+d.name) + "."
	}
	workflow.SetCurrentDetails(ctx, text+"\n\nTo list the server now:"+
		commands("temporal workflow signal --workflow-id "+temporalnames.DiscoverWorkflowID(d.in.ServerUUID)+" --name "+SignalRescan))
}
