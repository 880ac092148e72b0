package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// observeBatch is the number of entries recorded in one transaction.
const observeBatch = 500

// ListServerFilesInput names the server to list.
type ListServerFilesInput struct {
	ServerUUID string `json:"server_uuid"`
	// Source is the origin, for the discovered event: "schedule" or "manual".
	Source string `json:"source"`
	// RequestedBy is the name of the principal who requested a manual scan.
	RequestedBy string `json:"requested_by,omitempty"`
	// Force lists a suspended server, too; otherwise it is KindSuspended.
	Force bool `json:"force,omitempty"`
	Leftover
	// try is set by TryListing; key names the listing over all its attempts.
	try bool
	key string
}

// ListServerFilesResult has counts and the server's current settings, never file names.
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

	// Dispatchable: the ledger has ready or deferred files of the server, or slots in
	// use.
	Dispatchable bool `json:"dispatchable,omitempty"`

	// Paused: the server is paused or removed and was not contacted; the other fields
	// are empty.
	Paused bool `json:"paused,omitempty"`
}

// ListServerFiles lists the server and streams the entries into the ledger. Repeated
// observations of an entry change nothing.
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
	if halt.Paused { // paused or removed since an earlier attempt left the scan's row open
		return ListServerFilesResult{Paused: true}, applicationError(a.Catalog.FinishScan(ctx, ingest.ScanResult{
			ScanID: scanID, ServerUUID: server.UUID, Broken: true, Origin: ingest.ScanOrigin{Source: in.Source, RequestedBy: in.RequestedBy},
			Failure: &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.KindTransient, Message: "server " + server.Name + " was paused during the listing"},
		}))
	}
	from := lastPosition(ctx)
	result := newListing(server, in, from)
	err = a.crashLoop(ctx, server, scanID, from)
	if err == nil {
		err = unlessRefused(ctx, in.Refused, func() (err error) {
			result, err = a.listResuming(ctx, server, in, scanID, from)
			return err
		})
	}
	finish := scanResult(server, in, result, err)
	finish.ScanID = scanID
	// The result must be recorded, above all a suspension: otherwise the listing
	// counts as failed and is repeated.
	if finishErr := a.Catalog.FinishScan(ctx, finish); finishErr != nil {
		err = finishErr
	}
	return result.ListServerFilesResult, drainError(err)
}

// scanResult returns the record of a listing that ended with err.
func scanResult(server ingest.Server, in ListServerFilesInput, l listing, err error) ingest.ScanResult {
	r := ingest.ScanResult{
		ServerUUID: server.UUID, Counts: l.counts(), Unread: l.unread, Note: l.note, Entire: err == nil && l.unread.Count == 0,
		EndsSuspension: in.Force && server.State == ingest.ServerSuspended,
		Origin:         ingest.ScanOrigin{Source: in.Source, RequestedBy: in.RequestedBy}, Excluded: l.excluded,
	}
	if err != nil {
		kind := ingest.KindOf(err)
		r.Broken = errors.Is(err, ingest.ErrStopped)
		r.Failure = &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: ingest.Message(err)}
		r.Suspend = suspends(kind)
	}
	return r
}

// suspends reports whether scheduled listings would do harm (locked accounts, endless
// listings) or cannot succeed before the server or its settings are changed.
func suspends(kind ingest.Kind) bool {
	return kind.Suspends() || kind == ingest.KindInvalid
}

// listing extends the result with the fields of the scan row.
type listing struct {
	ListServerFilesResult
	// key names the listing over all its attempts.
	key               string
	began             time.Time
	unread            ingest.Unread
	inProgress, alone int64
	excluded          ingest.Unmatched
	note              string
	// lostAt is the position if the connection was lost while a folder was read.
	lostAt *position
}

// newListing returns the state of a listing before an attempt, with the counts of
// earlier attempts. from may be nil.
func newListing(server ingest.Server, in ListServerFilesInput, from *position) (l listing) {
	l.key = in.key
	l.ServerName, l.MaxParallel = server.Name, server.MaxParallel
	l.Settle, l.ScanInterval = server.Settle, server.ScanInterval
	l.New, l.Rejected = in.New, in.Rejected // already recorded
	if from != nil {
		l.Seen, l.New, l.Rejected = from.Seen, max(l.New, from.New), max(l.Rejected, from.Rejected)
		l.inProgress, l.alone, l.unread = from.InProgress, from.Alone, from.Unread
	}
	return l
}

// recounted returns the input with the rows recorded so far: a connection or a worker that
// ended may not have published all of them.
func (a *Activities) recounted(ctx context.Context, in ListServerFilesInput, scanID int64) (ListServerFilesInput, error) {
	created, rejected, err := a.Catalog.Recorded(ctx, scanID)
	in.New, in.Rejected = in.New+created, in.Rejected+rejected
	return in, err
}

// maxIgnored bounds the ignored entries of each reason that one listing records.
const maxIgnored = 1000

// ignore counts an entry that is no delivery, and reports whether it is to be recorded.
func (l *listing) ignore(seen ingest.Observation) bool {
	count := &l.alone
	if seen.Ignored == ingest.IgnoredInProgress {
		count = &l.inProgress
	}
	*count++
	return *count <= maxIgnored
}

func (l listing) counts() ingest.ScanCounts {
	return ingest.ScanCounts{Seen: l.Seen, New: l.New, Settling: l.Settling, Rejected: l.Rejected, Errors: l.unread.Count, InProgress: l.inProgress, Alone: l.alone}
}

// list lists the server over one connection, from the position on; from may be nil.
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
	source.OnReply(watchdog.markAlive)

	r := recorder{
		Activities: a, listing: &l, server: server, source: in.Source, watchdog: watchdog, tracker: newPositionTracker(watchdog, from), stats: stats,
	}
	err = r.run(ctx, source, in.try)
	l.excluded = r.stats.Unmatched
	if err != nil {
		return l, err
	}
	if l.unread.Count == 0 { // otherwise a missing file may be in an unread folder
		a.cleanUp(ctx, source, server, &l)
	}
	if err := a.endExcludedAged(ctx, source, server); err != nil {
		return l, err
	}
	// A path that breaks the connection must not delay the other files.
	movesErr := a.checkMoves(ctx, source, server)
	if l.note, err = a.Catalog.HoldChanges(ctx, server, r.stats.result(r.complete())); err != nil {
		return l, err
	}
	if l.Ready, l.Settling, err = a.Catalog.Promote(ctx, server); err == nil {
		l.Dispatchable, err = a.Catalog.Dispatchable(ctx, server.UUID)
	}
	return l, cmp.Or(err, movesErr)
}
