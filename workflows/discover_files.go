package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// DiscoverFilesInput names the server.
type DiscoverFilesInput struct {
	ServerUUID string `json:"server_uuid"`
	// Source is the origin of the scan: "schedule" or "manual".
	Source string `json:"source"`
	// RequestedBy is the name of the principal who requested a manual scan. It applies to
	// the first listing only.
	RequestedBy string `json:"requested_by,omitempty"`
	// Force makes the first listing try a suspended server, too.
	Force bool `json:"force,omitempty"`
	// Pass is the ScanAllServers run that starts this scan; empty without one.
	Pass string `json:"pass,omitempty"`

	// Carried is the state of the previous run after continue-as-new, which replaces
	// Force and Pass. Callers leave it nil.
	Carried *DiscoverState `json:"carried,omitempty"`
}

// DiscoverState is the state that continue-as-new carries from one run of DiscoverFiles
// to the next.
type DiscoverState struct {
	// Server is the server's settings as of the last listing.
	Server   activities.ListServerFilesResult `json:"server"`
	ListedAt time.Time                        `json:"listed_at"`
	Settling int64                            `json:"settling,omitempty"`
	Summary  DiscoverSummary                  `json:"summary"`
	// Suspended: the server was found suspended.
	Suspended bool `json:"suspended,omitempty"`
	// Paused: the server was found paused or removed.
	Paused bool `json:"paused,omitempty"`
	// ListDue and Force hold a rescan that was requested while the run ended.
	ListDue bool `json:"list_due,omitempty"`
	Force   bool `json:"force,omitempty"`
	// Pass is the ScanAllServers run that last requested a listing.
	Pass string `json:"pass,omitempty"`
	// Origin is the origin of the requested rescan.
	Origin ingest.ScanOrigin `json:"origin,omitzero"`
}

// DiscoverSummary counts the work of a scan over all its runs.
type DiscoverSummary struct {
	Listings int   `json:"listings"`
	Seen     int64 `json:"seen"`
	New      int64 `json:"new"`
	Started  int64 `json:"started"`
	Settling int64 `json:"settling"`
	// Failure is the error of the latest listing; nil if it succeeded.
	Failure *ingest.Failure `json:"failure,omitempty"`
}

// Rescan is the optional payload of SignalRescan.
type Rescan struct {
	// Force makes the listing try a suspended server, too.
	Force bool `json:"force,omitempty"`
	// Pass is the ScanAllServers run that requests the listing; empty for an operator's
	// request. A pass that is retried after a worker crash requests one listing only.
	Pass string `json:"pass,omitempty"`
	// Scheduled: requested because the server is due.
	Scheduled bool `json:"scheduled,omitempty"`
	// RequestedBy is the name of the principal who requested it, if known.
	RequestedBy string `json:"requested_by,omitempty"`
}

// FileReady is the optional payload of SignalFileReady.
type FileReady struct {
	// FileUUID is a ready file that waits for a slot; may be empty.
	FileUUID string `json:"file_uuid"`
}

// DiscoverFiles lists a server, waits until its files have settled, and runs a
// dispatcher that starts a FileIngest for each within the server's concurrency limit.
// While files are in flight it lists again at the server's scan interval, so that a
// long backlog does not hide new files. There is one per server.
//
// A server that cannot be listed does not fail the workflow: the scan completes with the
// failure in its summary, and StevedoreStatus is "error". Otherwise Temporal's list of
// failed workflows would grow with each scan of a broken server, and hide the failures
// of stevedore itself.
func DiscoverFiles(ctx workflow.Context, in DiscoverFilesInput) (DiscoverSummary, error) {
	d := newDiscovery(ctx, in)
	return d.run(ctx)
}

// discovery is the state of one run.
type discovery struct {
	in     DiscoverFilesInput
	pass   string // the ScanAllServers run that last requested a listing
	server activities.ListServerFilesResult
	name   string // server name, for people

	listedAt time.Time         // start of the last listing; the scan interval counts from it
	seenAt   time.Time         // end of the last listing; the limit in finished counts from it
	listDue  bool              // list as soon as possible
	force    bool              // the next listing may try a suspended server
	origin   ingest.ScanOrigin // origin of the next listing; zero for listings at the interval
	listErr  error             // error of this run's last listing; it ends the listings at the interval
	relist   *timer            // runs while the dispatcher runs
	settling int64             // files seen but not yet settled
	settle   *timer            // runs while files settle

	backlog    bool            // the ledger may hold ready files that no dispatcher has seen
	dispatcher workflow.Future // the running DispatchFiles; nil when there is none
	stop       workflow.CancelFunc
	deferred   *timer // runs while files are deferred

	suspended bool // nothing is listed or started until a rescan or a ready file is signalled
	paused    bool // paused or removed: same effect
	summary   DiscoverSummary

	rescan, freed workflow.ReceiveChannel
}

func newDiscovery(ctx workflow.Context, in DiscoverFilesInput) *discovery {
	d := &discovery{
		in: in, pass: in.Pass, listDue: true, force: in.Force, origin: ingest.ScanOrigin{Source: in.Source, RequestedBy: in.RequestedBy}, backlog: in.Carried != nil, name: shownServer(ctx),
		rescan: workflow.GetSignalChannel(ctx, SignalRescan),
		freed:  workflow.GetSignalChannel(ctx, SignalFileReady),
	}
	if c := in.Carried; c != nil {
		d.server, d.listedAt, d.seenAt = c.Server, c.ListedAt, c.ListedAt
		d.settling, d.summary, d.suspended, d.paused = c.Settling, c.Summary, c.Suspended, c.Paused
		d.listDue, d.force, d.pass, d.origin = c.ListDue, c.Force, c.Pass, c.Origin
	}
	return d
}

func (d *discovery) run(ctx workflow.Context) (DiscoverSummary, error) {
	for {
		if d.listDue && !d.halted() {
			if err := d.list(ctx); err != nil {
				return d.summary, err
			}
		} else {
			d.listDue = false
		}
		d.drainSignals()
		d.dispatch(ctx)
		switch {
		case d.listDue:
		case d.finished(ctx):
			d.describe(ctx, "has ended")
			return d.summary, scanError(d.listErr)
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

// dispatch starts the dispatcher if files may be ready. It waits for the first
// successful listing, which reads the server's settings. A running dispatcher picks up
// new files by itself; if it ends just before they are ready, backlog starts another.
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

// dispatched records the result of the dispatcher.
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

// finished reports whether the run can exit without delaying any file. Files that
// still change after a scan interval are left to the next scan, which continues to
// observe them. The interval counts from the end of the listing, because a listing
// that takes longer has not yet seen any file twice.
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
	limit := max(d.server.ScanInterval, 2*d.server.Settle)
	return d.settling == 0 || workflow.Now(ctx).Sub(d.seenAt) >= limit
}

// continueAsNew ends the run and starts the next. It stops the dispatcher first; the
// next run starts another, which finds the reserved slots in the ledger. An error of
// the stopped dispatcher is only logged: a lasting one occurs again. A cancelled scan
// ends here, because the next run would not be cancelled.
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
	return workflow.NewContinueAsNewError(ctx, NameDiscoverFiles, DiscoverFilesInput{
		ServerUUID: d.in.ServerUUID, Source: d.in.Source, Carried: &DiscoverState{
			Server: d.server, ListedAt: d.listedAt, Settling: d.settling, Summary: d.summary,
			Suspended: d.suspended, Paused: d.paused, ListDue: d.listDue, Force: d.force, Pass: d.pass, Origin: d.origin,
		},
	})
}

// drainSignals reads buffered signals. It runs before a run ends or continues as
// new, because an unread signal is lost then.
func (d *discovery) drainSignals() {
	for freed := (FileReady{}); d.freed.ReceiveAsync(&freed); freed = (FileReady{}) {
		d.wake()
	}
	for asked := (Rescan{}); d.rescan.ReceiveAsync(&asked); asked = (Rescan{}) {
		d.requestListing(asked)
	}
}

// wake records that a file is ready and clears the suspension: the dispatcher reads
// from the ledger whether the server may be used.
func (d *discovery) wake() { d.backlog, d.suspended, d.paused = true, false, false }

// requestListing schedules a listing and clears the suspension, because rescans are
// requested only for due, repaired or resumed servers. A pass requests only one.
func (d *discovery) requestListing(asked Rescan) {
	if asked.Pass != "" {
		if asked.Pass == d.pass {
			return
		}
		d.pass = asked.Pass
	}
	d.listDue, d.force = true, d.force || asked.Force
	switch {
	case !asked.Scheduled:
		d.origin = ingest.ScanOrigin{Source: ingest.SourceManual, RequestedBy: asked.RequestedBy}
	case d.origin == ingest.ScanOrigin{}:
		d.origin.Source = ingest.SourceSchedule
	}
	d.suspended, d.paused = false, false
}
