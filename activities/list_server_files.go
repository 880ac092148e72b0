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
	// try is set by TryListing.
	try bool
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
	server, halt, err := a.asked(ctx, in.ServerUUID)
	info := activity.GetInfo(ctx)
	if err != nil || halt.Paused && info.Attempt == 1 {
		return ListServerFilesResult{Paused: halt.Paused}, applicationError(err)
	}
	scanID, err := a.Catalog.StartScan(ctx, server.UUID, fmt.Sprintf("%s/%s", info.WorkflowExecution.RunID, info.ActivityID))
	if err != nil {
		return ListServerFilesResult{}, applicationError(err)
	}
	if halt.Paused { // since an attempt that has left the scan's row open
		return ListServerFilesResult{Paused: true}, applicationError(a.Catalog.FinishScan(ctx, ingest.ScanResult{
			ScanID: scanID, ServerUUID: server.UUID, Broken: true,
			Failure: &ingest.Failure{Step: ingest.StepDiscover, Kind: ingest.KindTransient, Message: "server " + server.Name + " was paused meanwhile"},
		}))
	}
	from := placeOf(ctx)
	var result listing
	if err = a.fatal(ctx, server, scanID, from); err == nil {
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
	return result.ListServerFilesResult, handOver(err)
}

// scanResult is how a listing that ended with err is recorded.
func scanResult(server ingest.Server, in ListServerFilesInput, l listing, err error) ingest.ScanResult {
	r := ingest.ScanResult{
		ServerUUID: server.UUID, Counts: l.counts(), Unread: l.unread, Note: l.note,
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
	unread            ingest.Unread
	inProgress, alone int64
	note              string
	// aside are the first of what is no delivery, of each reason.
	aside []ingest.Observation
}

// maxAside bounds what one listing notes of each reason for setting aside.
const maxAside = 1000

// setAside counts an entry that is no delivery.
func (l *listing) setAside(seen ingest.Observation) {
	count := &l.alone
	if seen.Aside == ingest.AsideInProgress {
		count = &l.inProgress
	}
	if *count++; *count <= maxAside {
		l.aside = append(l.aside, seen)
	}
}

func (l listing) counts() ingest.ScanCounts {
	return ingest.ScanCounts{Seen: l.Seen, New: l.New, Settling: l.Settling, Rejected: l.Rejected, Errors: l.unread.Count, InProgress: l.inProgress, Alone: l.alone}
}

// list lists the server from where an attempt before left off; from may be nil.
func (a *Activities) list(ctx context.Context, server ingest.Server, in ListServerFilesInput, from *place) (l listing, err error) {
	l.ServerName, l.MaxParallel = server.Name, server.MaxParallel
	l.Settle, l.ScanInterval = server.Settle, server.ScanInterval
	watch := newSights(time.Now())
	l.New, l.Rejected = in.New, in.Rejected // recorded by TryListing: known to this listing

	ctx, motion := a.watchAs(ctx, watched{Silence: silence(server), Yields: true, Sparse: true, Patience: a.patience(server)})
	defer func() { err = motion.stop(err) }()
	open := a.open
	if in.Force {
		open = a.logIn
	}
	source, err := open(ctx, server)
	if err != nil {
		return l, err
	}
	defer func() { _ = source.Close() }()
	source.OnAnswer(motion.moved)

	r := recorder{
		Activities: a, listing: &l, server: server, source: in.Source, motion: motion, journey: newJourney(motion, from), watch: watch,
	}
	if err := r.run(ctx, source, in.try); err != nil {
		return l, err
	}
	if l.unread.Count == 0 { // else nobody knows whether the file is there
		a.tidyUp(ctx, source, server, &l)
	}
	if err := a.leaveOutAged(ctx, source, server); err != nil {
		return l, err
	}
	if l.note, err = a.Catalog.Judge(ctx, server, r.watch.listed(r.whole())); err != nil {
		return l, err
	}
	if l.Ready, l.Settling, err = a.Catalog.Promote(ctx, server); err == nil {
		l.Dispatchable, err = a.Catalog.Dispatchable(ctx, server.UUID)
	}
	return l, err
}

// patience is how long the server may be silent before the watchdog ends the
// listing: longer than its sessions wait, which say it better.
func (a *Activities) patience(server ingest.Server) time.Duration {
	if server.AnswerTimeout == 0 {
		return a.NoProgress
	}
	return max(a.NoProgress, time.Duration(server.AnswerTimeout)+HeartbeatEvery)
}
