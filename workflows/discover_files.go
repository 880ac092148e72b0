package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// startsPerRun is after how many started files a run hands over to a fresh
// one: each costs about four events, and history should stay near 4,000.
const startsPerRun = 500

// readyPage is how many ready files are asked for at once.
const readyPage = 100

// carriedCheck is how often a run asks after the files it took over from the
// run before, whose ends it cannot see itself.
const carriedCheck = 15 * time.Second

// closingCheck is how soon that is for a file whose workflow is about to end.
const closingCheck = time.Second

// DiscoverFilesInput names the server.
type DiscoverFilesInput struct {
	ServerUUID string `json:"server_uuid"`
	// Source says who asked: "schedule" or "manual".
	Source string `json:"source"`
	// Force lists a suspended server, too; it is for the first listing.
	Force bool `json:"force,omitempty"`

	// Since020 makes the workflow do as since release 0.2.0: timers go before
	// files that have ended, where both are ready; a server at fault is left
	// alone at once, and looked at again when somebody asks. Whoever starts the
	// workflow sets it; a run that was started before goes on as it began.
	Since020 bool `json:"since_0_2_0,omitempty"`

	// Carried is a run's state for the next one; leave it empty.
	Carried *DiscoverState `json:"carried,omitempty"`
}

// DiscoverState is what one run of DiscoverFiles hands to the next.
type DiscoverState struct {
	// Server is the server's settings as of the last listing.
	Server   activities.ListServerFilesResult `json:"server"`
	ListedAt time.Time                        `json:"listed_at"`
	// InFlight names the files whose workflows are open.
	InFlight []string        `json:"in_flight,omitempty"`
	Settling int64           `json:"settling,omitempty"`
	Summary  DiscoverSummary `json:"summary"`
	// Suspended says that the server was found at fault.
	Suspended bool `json:"suspended,omitempty"`
	// Paused says that the server was found switched off or removed.
	Paused bool `json:"paused,omitempty"`
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
}

// SlotFreed is the payload of SignalSlotFreed.
type SlotFreed struct {
	FileUUID string `json:"file_uuid"`
	// Waiting says that the file is ready again and waits for another place.
	Waiting bool `json:"waiting,omitempty"`
	// Suspended says that the server is at fault: no other file is started.
	Suspended bool `json:"suspended,omitempty"`
}

// DiscoverFiles lists a server, waits until its files are whole and starts a
// FileIngest for each, at most max_parallel at once. It stays while there is
// something to do and lists again at the server's interval meanwhile, so that
// a long backlog does not hide new files. There is only one per server, which
// makes its window exact across all workers.
func DiscoverFiles(ctx workflow.Context, in DiscoverFilesInput) (DiscoverSummary, error) {
	d := newDiscovery(ctx, in)
	return d.run(ctx)
}

// discovery is the state of one run.
type discovery struct {
	in     DiscoverFilesInput
	server activities.ListServerFilesResult

	listedAt time.Time // when the last listing began, which the interval counts from
	seenAt   time.Time // when it was through, which patience counts from
	listDue  bool      // list as soon as possible
	force    bool      // the next listing may try a suspended server
	listErr  error     // the last listing failed: no more listings in this run
	relist   *timer    // runs while there is work left
	settling int64     // files seen but not yet known to be whole
	settle   *timer    // runs while files settle
	ready    []activities.ReadyFile
	deferred *timer // runs while files are put off
	backlog  bool   // the database may hold more ready files than d.ready

	children []child  // started by this run
	carried  []string // started by an earlier run, or found running
	check    *timer   // runs while there are carried files
	closing  bool     // one of them was found running where its end is near

	name      string // the server's, for people
	starts    int
	suspended bool // the server is at fault: nothing more is listed or started until somebody asks
	paused    bool // the server is switched off or removed: likewise
	summary   DiscoverSummary

	rescan, freed workflow.ReceiveChannel
}

// child is a file in flight that this run can watch.
type child struct {
	fileUUID string
	done     workflow.Future
}

// timer is a workflow timer that can be told to be running.
type timer struct {
	future workflow.Future
	cancel workflow.CancelFunc
}

func newDiscovery(ctx workflow.Context, in DiscoverFilesInput) *discovery {
	d := &discovery{
		in: in, listDue: true, force: in.Force, backlog: true, name: shownServer(ctx),
		rescan: workflow.GetSignalChannel(ctx, SignalRescan),
		freed:  workflow.GetSignalChannel(ctx, SignalSlotFreed),
	}
	if c := in.Carried; c != nil {
		d.server, d.listedAt, d.seenAt, d.carried = c.Server, c.ListedAt, c.ListedAt, c.InFlight
		d.settling, d.summary, d.listDue, d.suspended = c.Settling, c.Summary, false, c.Suspended
		d.paused, d.force = c.Paused, false
	}
	return d
}

func (d *discovery) run(ctx workflow.Context) (DiscoverSummary, error) {
	for {
		if d.listDue && !d.halted() {
			d.list(ctx)
		}
		d.listDue = false
		if err := d.fill(ctx); err != nil {
			return d.summary, err
		}
		d.drainSignals()
		switch {
		case d.listDue:
		case d.canStart(): // a place became free meanwhile, and nothing else might wake this run
		case d.finished(ctx):
			d.describe(ctx, "has ended")
			return d.summary, d.listErr
		case d.tooLong(ctx):
			return d.summary, d.handOver(ctx)
		default:
			d.describe(ctx, d.doing())
			if err := d.wait(ctx); err != nil {
				return d.summary, err
			}
		}
	}
}

// fill starts files while the window has room. It waits for every start: an
// abandoned child that has not started is lost when this run ends.
func (d *discovery) fill(ctx workflow.Context) error {
	for d.canStart() {
		if len(d.ready) == 0 {
			if err := d.nextReady(ctx); err != nil || len(d.ready) == 0 {
				return err
			}
		}
		n := min(d.room(), len(d.ready))
		d.start(ctx, d.ready[:n])
		d.ready = d.ready[n:]
	}
	return nil
}

// room is how many more files may be in flight. Before the first successful
// listing of a scan nothing is known of the server, and nothing is started.
func (d *discovery) room() int {
	if d.halted() {
		return 0
	}
	return d.server.MaxParallel - len(d.children) - len(d.carried)
}

// canStart says that there is a place in the window, and perhaps a file for it.
func (d *discovery) canStart() bool {
	return d.room() > 0 && d.starts < startsPerRun && (len(d.ready) > 0 || d.backlog)
}

func (d *discovery) nextReady(ctx workflow.Context) error {
	if !d.backlog {
		return nil
	}
	asking := about(withQuick(ctx), fmt.Sprintf("which files are next? %d places are free", d.room()))
	var page activities.NextReadyFilesResult
	err := workflow.ExecuteActivity(asking, activities.NameNextReadyFiles, activities.NextReadyFilesInput{
		ServerUUID: d.in.ServerUUID, Exclude: d.inFlight(), Limit: readyPage,
	}).Get(ctx, &page)
	d.ready = page.Files
	d.backlog = len(page.Files) == readyPage
	d.deferred.stop()
	d.deferred = nil
	if page.DeferredFor > 0 {
		d.deferred = newTimer(ctx, max(page.DeferredFor, time.Second), "files that are put off")
	}
	d.paused, d.suspended = d.paused || page.Paused, d.suspended || page.Suspended
	return err
}

func (d *discovery) inFlight() []string {
	uuids := slices.Clone(d.carried)
	for _, c := range d.children {
		uuids = append(uuids, c.fileUUID)
	}
	return uuids
}

// finished says that nothing is left that would be done sooner by staying.
// Files that keep changing are left to the next scan once a whole scan
// interval has passed: their observation goes on where it stands. A listing
// that took longer than that has not yet seen any of them twice.
func (d *discovery) finished(ctx workflow.Context) bool {
	if d.halted() {
		return len(d.inFlight()) == 0
	}
	if len(d.ready) > 0 || d.deferred != nil || d.backlog && d.room() > 0 && d.server.MaxParallel > 0 || len(d.inFlight()) > 0 {
		return false
	}
	patience := max(d.server.ScanInterval, 2*d.server.Settle)
	return d.settling == 0 || workflow.Now(ctx).Sub(d.seenAt) >= patience
}

func (d *discovery) tooLong(ctx workflow.Context) bool {
	return d.starts >= startsPerRun || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

func (d *discovery) handOver(ctx workflow.Context) error {
	d.in.Carried = &DiscoverState{
		Server: d.server, ListedAt: d.listedAt, InFlight: d.inFlight(), Settling: d.settling, Summary: d.summary,
		Suspended: d.suspended, Paused: d.paused,
	}
	d.in.Since020 = true
	return workflow.NewContinueAsNewError(ctx, NameDiscoverFiles, d.in)
}

// release takes a file out of the window.
func (d *discovery) release(freed SlotFreed) {
	if freed.Waiting { // whether its server may be asked is looked up with the next ready files
		d.ready, d.backlog, d.suspended, d.paused = nil, true, false, false
	}
	d.suspended = d.suspended || freed.Suspended
	d.children = slices.DeleteFunc(d.children, func(c child) bool { return c.fileUUID == freed.FileUUID })
	d.carried = slices.DeleteFunc(d.carried, func(uuid string) bool { return uuid == freed.FileUUID })
}

// drainSignals takes what has arrived without waiting. It runs before a run
// ends or hands over, because a signal that is not read then is lost.
func (d *discovery) drainSignals() {
	for freed := (SlotFreed{}); d.freed.ReceiveAsync(&freed); freed = (SlotFreed{}) {
		d.release(freed)
	}
	for asked := (Rescan{}); d.rescan.ReceiveAsync(&asked); asked = (Rescan{}) {
		d.ask(asked)
	}
}

// ask makes a listing due. Only servers that are due or named are asked for, so
// what was known of this one is no longer so: a person has mended it or
// switched it on again.
func (d *discovery) ask(asked Rescan) {
	d.listDue, d.force = true, d.force || asked.Force
	if d.in.Since020 {
		d.suspended, d.paused = false, false
	}
}

// start starts a batch of files.
func (d *discovery) start(ctx workflow.Context, files []activities.ReadyFile) {
	futures := make([]workflow.ChildWorkflowFuture, len(files))
	for i, file := range files {
		futures[i] = workflow.ExecuteChildWorkflow(withIngest(ctx, file, d.server.ServerName, d.in.ServerUUID, ingest.StatusReady), NameFileIngest, FileIngestInput{
			FileUUID: file.UUID, ServerUUID: d.in.ServerUUID, Size: file.Size, StatusBySteps: true,
		})
	}
	for i, file := range files {
		d.started(ctx, file, futures[i])
	}
}
