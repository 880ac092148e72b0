package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"stevedore/internal/ingest"
)

// doing says what the scan waits for.
func (d *discovery) state() string {
	switch {
	case d.paused:
		return "waits for the files in flight to end; its server is paused and no other is started"
	case d.suspended:
		return "waits for the files in flight to end; its server is suspended and no other is started"
	case d.settling > 0:
		return "waits for files to settle"
	case d.dispatcher != nil:
		return "waits for the files in flight; its dispatcher starts those that are ready"
	case d.deferred != nil:
		return "waits until deferred files may be tried again"
	default:
		return "looks for ready files"
	}
}

// describe tells Temporal's Web UI where the scan stands; it costs no history.
func (d *discovery) describe(ctx workflow.Context, doing string) {
	text := fmt.Sprintf("The scan of server %s **%s**.\n\n%d entries seen, %d new; %d files settle, at most %d are in flight at a time, %d were started by dispatchers that have ended.",
		code(d.name), doing, d.summary.Seen, d.summary.New, d.settling, d.server.MaxParallel, d.summary.Started)
	if !d.listedAt.IsZero() {
		text += " The last listing began at " + d.listedAt.UTC().Format(time.DateTime) + " UTC."
	}
	if d.listErr != nil {
		_, message := failureOf(d.listErr)
		text += "\n\nThe last listing failed: " + quote(message) +
			". The next scheduled scan tries again; what is wrong with the server says " + code("stevedore server test "+d.name) + "."
	}
	workflow.SetCurrentDetails(ctx, text+"\n\nTo list the server once more, now:"+
		commands("temporal workflow signal --workflow-id "+ingest.DiscoverWorkflowID(d.in.ServerUUID)+" --name "+SignalRescan))
}
