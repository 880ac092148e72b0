package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// observeBatch is how many entries go to the database in one transaction.
const observeBatch = 500

// ListServerFilesInput names the server to list.
type ListServerFilesInput struct {
	ServerUUID string `json:"server_uuid"`
	// Source says who asked, for the discovered event: "schedule" or "manual".
	Source string `json:"source"`
	// Force tries a suspended server, too; otherwise it is KindSuspended.
	Force bool `json:"force,omitempty"`
	Leftover
	// try is set by TryListing; key names the listing, all of its attempts.
	try bool
	key string
}

// ListServerFilesResult is what DiscoverFiles goes on with: counts and the
// server's settings as they are now, never names of files.
type ListServerFilesResult struct {
	Seen     int64 `json:"seen"`
	New      int64 `json:"new"`
	Ready    int64 `json:"ready"`
	Settling int64 `json:"settling"`
	Rejected int64 `json:"rejected"`

	ServerName   string        `json:"server_name"`
	MaxParallel  int           `json:"max_parallel"`
	Settle       time.Duration `json:"settle"`
	ScanInterval time.Duration `json:"scan_interval"`

	// Dispatchable says that the ledger has ready or deferred files of the server, or
	// slots in use: a dispatcher has something to do.
	Dispatchable bool `json:"dispatchable,omitempty"`

	// Paused says that the server is switched off or removed and was not logged
	// in to; then it is all there is.
	Paused bool `json:"paused,omitempty"`
}

// ListServerFiles walks the server and streams what it sees into the database.
// A repeated attempt observes the same entries again, which changes nothing. A
// paused server is left alone, and the result says so.
func (a *Activities) ListServerFiles(ctx context.Context, in ListServerFilesInput) (ListServerFilesResult, error) {
	server, halt, err := a.serverAndHalt(ctx, in.ServerUUID)
	info := activity.GetInfo(ctx)
	if err != nil || halt.Paused && info.Attempt == 1 {
		return ListServerFilesResult{Paused: halt.Paused}, applicationError(err)
	}
	in.key = fmt.Sprintf("%s/%s", info.WorkflowExecution.RunID, info.ActivityID)
	scanID, err := a.Catalog.StartScan(ctx, server.UUID, in.key)
	if err != nil {
		return ListServerFilesResult{}, applicationError(err)
	}
	if halt.Paused { // since an attempt that has left the scan's row open
		return ListServerFilesResult{Paused: true}, applicationError(a.Catalog.FinishScan(ctx, ingest.ScanResult{
			ScanID: scanID, ServerUUID: server.UUID, Broken: true,
			Failure: &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.KindTransient, Message: "server " + server.Name + " was paused meanwhile"},
		}))
	}
	from := lastPosition(ctx)
	err = a.recount(ctx, &in, scanID)
	result := newListing(server, in, from)
	if err == nil {
		err = a.crashLoop(ctx, server, scanID, from)
	}
	if err == nil {
		err = unlessRefused(ctx, in.Refused, func() (err error) {
			result, err = a.list(ctx, server, in, from)
			return err
		})
	}
	finish := scanResult(server, in, result, err)
	finish.ScanID = scanID
	// What was found must be on record, most of all that the server is to be
	// left alone: without it the listing counts as not done and is done again.
	if finishErr := a.Catalog.FinishScan(ctx, finish); finishErr != nil {
		err = finishErr
	}
	return result.ListServerFilesResult, drainError(err)
}

// scanResult is how a listing that ended with err is recorded.
func scanResult(server ingest.Server, in ListServerFilesInput, l listing, err error) ingest.ScanResult {
	r := ingest.ScanResult{
		ServerUUID: server.UUID, Counts: l.counts(), Unread: l.unread, Note: l.note, Entire: err == nil && l.unread.Count == 0,
		Mends: in.Force && server.State == ingest.ServerSuspended,
	}
	if err != nil {
		kind := ingest.KindOf(err)
		r.Broken = errors.Is(err, ingest.ErrStopped)
		r.Failure = &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: message(err)}
		r.Suspend = suspends(kind)
	}
	return r
}

// suspends reports whether listing on schedule would do harm (locked accounts,
// an endless listing) or cannot succeed before somebody has changed the server
// or our settings.
func suspends(kind ingest.Kind) bool {
	return kind.ServerLevel() && kind != ingest.KindSuspended || kind == ingest.KindInvalid
}

// listing adds to the result what only the scan row needs.
type listing struct {
	ListServerFilesResult
	// key names the listing, all of its attempts.
	key               string
	began             time.Time
	unread            ingest.Unread
	inProgress, alone int64
	note              string
}

// newListing returns what is known of a listing before an attempt at it: what earlier
// ones counted. from may be nil.
func newListing(server ingest.Server, in ListServerFilesInput, from *position) (l listing) {
	l.key = in.key
	l.ServerName, l.MaxParallel = server.Name, server.MaxParallel
	l.Settle, l.ScanInterval = server.Settle, server.ScanInterval
	l.New, l.Rejected = in.New, in.Rejected // recorded before: known to this listing
	if from != nil {
		l.Seen, l.New, l.Rejected = from.Seen, max(l.New, from.New), max(l.Rejected, from.Rejected)
		l.inProgress, l.alone, l.unread = from.InProgress, from.Alone, from.Unread
	}
	return l
}

// recount adds to the input what earlier attempts at the listing put on record: one
// that ended with its worker could not tell all of it.
func (a *Activities) recount(ctx context.Context, in *ListServerFilesInput, scanID int64) error {
	news, rejected, err := a.Catalog.Recorded(ctx, scanID)
	in.New, in.Rejected = in.New+news, in.Rejected+rejected
	return err
}

// maxAside bounds what one listing notes of each reason for setting aside.
const maxIgnored = 1000

// setAside counts an entry that is no delivery, and reports whether it is one of those
// that are noted.
func (l *listing) ignore(seen ingest.Observation) bool {
	count := &l.alone
	if seen.Aside == ingest.AsideInProgress {
		count = &l.inProgress
	}
	*count++
	return *count <= maxIgnored
}

func (l listing) counts() ingest.ScanCounts {
	return ingest.ScanCounts{Seen: l.Seen, New: l.New, Settling: l.Settling, Rejected: l.Rejected, Errors: l.unread.Count, InProgress: l.inProgress, Alone: l.alone}
}

// list lists the server from where an attempt before left off; from may be nil.
func (a *Activities) list(ctx context.Context, server ingest.Server, in ListServerFilesInput, from *position) (l listing, err error) {
	l = newListing(server, in, from)
	l.began = time.Now()
	stats := newTimeStats(l.began, from)
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{StallMessage: noAnswer(server), StopsOnDrain: true, Sparse: true, StallTimeout: a.stallTimeout(server), Position: from})
	defer func() { err = watchdog.stop(err) }()
	open := a.open
	if in.Force {
		open = a.logIn
	}
	source, err := open(ctx, server)
	if err != nil {
		return l, err
	}
	defer func() { _ = source.Close() }()
	source.OnAnswer(watchdog.markAlive)

	r := recorder{
		Activities: a, listing: &l, server: server, source: in.Source, watchdog: watchdog, tracker: newPositionTracker(watchdog, from), stats: stats,
	}
	if err := r.run(ctx, source, in.try); err != nil {
		return l, err
	}
	if l.unread.Count == 0 { // else nobody knows whether the file is there
		a.cleanUp(ctx, source, server, &l)
	}
	if err := a.endExcludedAged(ctx, source, server); err != nil {
		return l, err
	}
	if l.note, err = a.Catalog.Judge(ctx, server, r.stats.result(r.complete())); err != nil {
		return l, err
	}
	if l.Ready, l.Settling, err = a.Catalog.Promote(ctx, server); err == nil {
		l.Dispatchable, err = a.Catalog.Dispatchable(ctx, server.UUID)
	}
	return l, err
}
