package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
)

// DiscoverFilesInput names the server.
type DiscoverFilesInput struct {
	ServerUUID string `json:"server_uuid"`
	// Source says who asked: "schedule" or "manual".
	Source string `json:"source"`
	// Force lists a suspended server, too; it is for the first listing.
	Force bool `json:"force,omitempty"`
	// Pass names the pass over all servers that started or last asked this scan.
	Pass string `json:"pass,omitempty"`

	// Carried is a run's state for the next one; leave it empty.
	Carried *DiscoverState `json:"carried,omitempty"`
}

// DiscoverState is what one run of DiscoverFiles hands to the next.
type DiscoverState struct {
	// Server is the server's settings as of the last listing.
	Server   activities.ListServerFilesResult `json:"server"`
	ListedAt time.Time                        `json:"listed_at"`
	Settling int64                            `json:"settling,omitempty"`
	Summary  DiscoverSummary                  `json:"summary"`
	// Suspended says that the server was found at fault.
	Suspended bool `json:"suspended,omitempty"`
	// Paused says that the server was found switched off or removed.
	Paused bool `json:"paused,omitempty"`
	// ListDue and Force are a rescan that was requested while the run ended.
	ListDue bool `json:"list_due,omitempty"`
	Force   bool `json:"force,omitempty"`
}

// DiscoverSummary is what a scan did, all its runs together.
type DiscoverSummary struct {
	Listings int   `json:"listings"`
	Seen     int64 `json:"seen"`
	New      int64 `json:"new"`
	Started  int64 `json:"started"`
	Settling int64 `json:"settling"`
}

// Rescan is the payload of SignalRescan; a signal by hand may leave it out.
type Rescan struct {
	// Force lists a suspended server, too.
	Force bool `json:"force,omitempty"`
	// Pass names the pass over all servers that asks; empty for a person. A pass that
	// is repeated after its worker has died asks only once.
	Pass string `json:"pass,omitempty"`
	// Scheduled says that the server is asked because it is due.
	Scheduled bool `json:"scheduled,omitempty"`
}

// SlotFreed is the payload of SignalSlotFreed; a signal by hand may leave it out.
type SlotFreed struct {
	// FileUUID names a file that is ready and waits for a slot; may be empty.
	FileUUID string `json:"file_uuid"`
}

// DiscoverFiles lists a server, waits until its files have settled, and lets a
// dispatcher start a FileIngest for each within the server's concurrency limit.
// It runs while there is something to do and lists again at the server's interval
// meanwhile, so that a long backlog does not hide new files. There is one per
// server.
func DiscoverFiles(ctx workflow.Context, in DiscoverFilesInput) (DiscoverSummary, error) {
	d := newDiscovery(ctx, in)
	return d.run(ctx)
}

// discovery is the state of one run.
type discovery struct {
	in     DiscoverFilesInput
	server activities.ListServerFilesResult
	name   string // the server's, for people

	listedAt time.Time // when the last listing began, which the interval counts from
	seenAt   time.Time // when it was through, which patience counts from
	listDue  bool      // list as soon as possible
	force    bool      // the next listing may try a suspended server
	listErr  error     // the last listing failed: no more listings in this run
	relist   *timer    // runs while the dispatcher runs
	settling int64     // files seen but not yet settled
	settle   *timer    // runs while files settle

	backlog    bool            // the ledger may hold ready files that no dispatcher has seen
	dispatcher workflow.Future // of the activity; nil while none runs
	stop       workflow.CancelFunc
	deferred   *timer // runs while files are deferred

	suspended bool // the server is at fault: nothing more is listed or started until somebody asks
	paused    bool // the server is switched off or removed: likewise
	summary   DiscoverSummary

	rescan, freed workflow.ReceiveChannel
}

func newDiscovery(ctx workflow.Context, in DiscoverFilesInput) *discovery {
	d := &discovery{
		in: in, listDue: true, force: in.Force, backlog: in.Carried != nil, name: shownServer(ctx),
		rescan: workflow.GetSignalChannel(ctx, SignalRescan),
		freed:  workflow.GetSignalChannel(ctx, SignalSlotFreed),
	}
	if c := in.Carried; c != nil {
		d.server, d.listedAt, d.seenAt = c.Server, c.ListedAt, c.ListedAt
		d.settling, d.summary, d.suspended, d.paused = c.Settling, c.Summary, c.Suspended, c.Paused
		d.listDue, d.force = c.ListDue, c.Force
	}
	return d
}

func (d *discovery) run(ctx workflow.Context) (DiscoverSummary, error) {
	for {
		if d.listDue && !d.halted() {
			d.list(ctx)
		} else {
			d.listDue = false
		}
		d.drainSignals()
		d.dispatch(ctx)
		switch {
		case d.listDue:
		case d.finished(ctx):
			d.describe(ctx, "has ended")
			return d.summary, d.listErr
		case workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			return d.summary, d.continueAsNew(ctx)
		default:
			d.describe(ctx, d.state())
			if err := d.wait(ctx); err != nil {
				return d.summary, err
			}
		}
	}
}

// dispatch runs the dispatcher while files may be ready. Before the first
// successful listing of a scan nothing is known of the server, and nothing is
// started. One that runs already sees new files by itself; when it ends just as
// they come, backlog makes another one follow.
func (d *discovery) dispatch(ctx workflow.Context) {
	if d.dispatcher != nil || !d.backlog || d.halted() || d.listedAt.IsZero() {
		return
	}
	d.backlog = false
	d.deferred.stop()
	d.deferred = nil
	ctx, d.stop = workflow.WithCancel(ctx)
	dispatching := withSummary(withDispatcher(ctx), "start the ready files of server "+d.name)
	d.dispatcher = workflow.ExecuteActivity(dispatching, do.DispatchFiles, activities.DispatchFilesInput{ServerUUID: d.in.ServerUUID})
}

// dispatched notes how the dispatcher ended.
func (d *discovery) dispatched(ctx workflow.Context) error {
	var result activities.DispatchFilesResult
	err := d.dispatcher.Get(ctx, &result)
	d.dispatcher = nil
	d.stop()
	if err != nil {
		return err
	}
	d.summary.Started += result.Started
	d.paused, d.suspended = d.paused || result.Paused, d.suspended || result.Suspended
	if result.DeferredFor > 0 {
		d.deferred = newTimer(ctx, max(result.DeferredFor, time.Second), "deferred files")
	}
	return nil
}

// finished reports whether the run can exit without delaying any file. Files
// that keep changing are left to the next scan once a whole scan interval has
// passed: their observation goes on there. A listing that took longer than that
// has not yet seen any of them twice.
func (d *discovery) finished(ctx workflow.Context) bool {
	if d.dispatcher != nil {
		return false
	}
	if d.halted() || d.listErr != nil && d.listedAt.IsZero() {
		return true
	}
	if d.deferred != nil || d.backlog && !d.listedAt.IsZero() {
		return false
	}
	patience := max(d.server.ScanInterval, 2*d.server.Settle)
	return d.settling == 0 || workflow.Now(ctx).Sub(d.seenAt) >= patience
}

// continueAsNew ends the run for a fresh one. The dispatcher is stopped first;
// the next run starts another, which finds the slots in the ledger and meets
// again what this one failed with, if it lasts. A cancelled scan ends here: the
// next run would not learn of it.
func (d *discovery) continueAsNew(ctx workflow.Context) error {
	if d.dispatcher != nil {
		d.stop()
		if err := d.dispatched(ctx); err != nil && !temporal.IsCanceledError(err) {
			workflow.GetLogger(ctx).Warn("the stopped dispatcher failed", "server", d.name, "error", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.drainSignals()
	d.in.Carried = &DiscoverState{
		Server: d.server, ListedAt: d.listedAt, Settling: d.settling, Summary: d.summary,
		Suspended: d.suspended, Paused: d.paused, ListDue: d.listDue, Force: d.force,
	}
	return workflow.NewContinueAsNewError(ctx, NameDiscoverFiles, d.in)
}

// drainSignals takes what has arrived without waiting. It runs before a run
// ends or continues as new, because a signal that is not read then is lost.
func (d *discovery) drainSignals() {
	for freed := (SlotFreed{}); d.freed.ReceiveAsync(&freed); freed = (SlotFreed{}) {
		d.wake()
	}
	for asked := (Rescan{}); d.rescan.ReceiveAsync(&asked); asked = (Rescan{}) {
		d.requestListing(asked)
	}
}

// wake notes that a file is ready. Whether its server may be used is read from
// the ledger by the dispatcher.
func (d *discovery) wake() { d.backlog, d.suspended, d.paused = true, false, false }

// ask schedules a listing and clears the suspension, because rescans are
// requested only for servers that are due or that somebody has repaired.
func (d *discovery) requestListing(asked Rescan) {
	if asked.Pass != "" {
		if asked.Pass == d.in.Pass {
			return
		}
		d.in.Pass = asked.Pass
	}
	d.listDue, d.force = true, d.force || asked.Force
	d.suspended, d.paused = false, false
}
