package operations

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

const (
	// maxBulk is how many files one request decides on, so that it ends in time.
	maxBulk = 500
	// bulkAtOnce bounds the decisions under way. When as many could not be
	// taken the ledger or Temporal is away, and so it is for the rest.
	bulkAtOnce = 8
	// maxBulkFailures bounds what is listed of what was refused.
	maxBulkFailures = 100
	// bulkReserve is how long before its deadline a request begins no further
	// decision, so that those under way can end and be counted.
	bulkReserve = 6 * time.Second
)

// BulkRequest is a decision on all files in error that a filter selects. Files that
// have not begun are skipped, too, where the filter names them or their status.
type BulkRequest struct {
	// Filter selects them; its order and place are set by ActOnFiles.
	Filter  ingest.FileFilter
	Action  Action
	Details workflows.OperatorAction
	// Cursor is Next of the request before, which leaves out all files that it
	// looked at; empty begins with the oldest.
	Cursor string
	// DryRun only counts.
	DryRun bool
	// Expected, when not nil, is how many the caller means: another number is
	// KindConflict and nothing is done.
	Expected *int64
}

// BulkResult says what became of a BulkRequest.
type BulkResult struct {
	// Matched is how many files the filter selected behind the request's Cursor,
	// Done on how many was decided, Remaining how many are left for another
	// request.
	Matched, Done, Remaining int64
	// Failures are those that were refused, at most 100 of Failed.
	Failures []BulkFailure
	Failed   int64
	// Next is the Cursor of another request, empty when nothing is left. It is
	// past those that were refused, so that they hide none behind them.
	Next string
	// Err is why some files could not be decided on though nothing refused it,
	// such as a part that is away; nil when there is none. They are among
	// Remaining, and behind Next.
	Err error
}

// BulkFailure is a file on which could not be decided.
type BulkFailure struct {
	FileUUID string
	Message  string
}

// ActOnFiles decides on up to 500 files at once, oldest first. What is refused
// for one file is in the result and stops no other. An error means that nothing
// was decided.
func (s *Service) ActOnFiles(ctx context.Context, req BulkRequest) (BulkResult, error) {
	req.Filter.Statuses, req.Filter.Limit = decidable(req.Action, req.Filter), maxBulk
	req.Filter.Order = ingest.OrderOldest
	var err error
	if req.Filter.AfterID, err = readBulkCursor(req.Cursor); err != nil {
		return BulkResult{}, err
	}
	ledger, err := s.resolve(ctx, &req.Filter)
	if err != nil {
		return BulkResult{}, err
	}
	var result BulkResult
	if result.Matched, err = ledger.CountMatching(ctx, req.Filter); err != nil {
		return result, err
	}
	result.Remaining = result.Matched
	if req.Expected != nil && *req.Expected != result.Matched {
		return result, ingest.Errorf(ingest.KindConflict, "the filter selects %d file(s) now, not %d: look again", result.Matched, *req.Expected)
	}
	if req.DryRun || result.Matched == 0 {
		return result, nil
	}
	files, err := ledger.Files(ctx, req.Filter)
	if err != nil {
		return result, err
	}
	batch := bulkBatch{files: files, decided: make([]bool, len(files)), result: &result}
	batch.decide(ctx, func(ctx context.Context, file ingest.File) error {
		_, err := s.ActOnFile(ctx, file.UUID, req.Action, req.Details)
		return err
	})
	batch.finish(req.Filter.AfterID)
	if result.Done+result.Failed == 0 {
		return result, result.Err
	}
	return result, nil
}

// decidable are the statuses of the files that are decided on. Whoever skips by a
// pattern does not mean what is just arriving.
func decidable(action Action, filter ingest.FileFilter) []ingest.Status {
	var statuses []ingest.Status
	for _, status := range []ingest.Status{ingest.StatusError, ingest.StatusDiscovered, ingest.StatusReady} {
		named := slices.Contains(filter.Statuses, status) || len(filter.UUIDs) > 0 && len(filter.Statuses) == 0
		if named && (status == ingest.StatusError || action == Skip) {
			statuses = append(statuses, status)
		}
	}
	if len(statuses) == 0 {
		return []ingest.Status{ingest.StatusError}
	}
	return statuses
}

// readBulkCursor returns the id of the last file that was looked at.
func readBulkCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || id < 0 {
		wrong := &ingest.InvalidError{Fields: []ingest.FieldError{{Field: "cursor", Message: "cursor: use next_cursor of the request before, unchanged"}}}
		return 0, ingest.Wrap(ingest.KindInvalid, wrong, "cannot go on with the files")
	}
	return id, nil
}

// bulkBatch is the files of one request and what became of them.
type bulkBatch struct {
	files []ingest.File
	mu    sync.Mutex
	// decided says of each file that it is done or refused; undecided counts
	// those that were tried and are neither.
	decided   []bool
	undecided int
	result    *BulkResult
}

// decide tries each file until the time is nearly over or a part is away.
func (b *bulkBatch) decide(ctx context.Context, decide func(context.Context, ingest.File) error) {
	until := bulkUntil(ctx, time.Now())
	var group errgroup.Group
	group.SetLimit(bulkAtOnce)
	for i, file := range b.files {
		if ctx.Err() != nil || !until.IsZero() && time.Now().After(until) || b.partAway() {
			break
		}
		group.Go(func() error {
			b.note(i, decide(ctx, file))
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}

// bulkUntil returns until when a request that begins now may begin decisions;
// zero is for ever.
func bulkUntil(ctx context.Context, now time.Time) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(-min(bulkReserve, deadline.Sub(now)/2))
}

func (b *bulkBatch) partAway() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.undecided >= bulkAtOnce
}

// note counts what became of the file with the index.
func (b *bulkBatch) note(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var known *ingest.Error
	switch {
	case err == nil || errors.Is(err, orchestrator.ErrActionPending):
		b.decided[i] = true
		b.result.Done++
	case errors.As(err, &known) && known.Kind.Permanent():
		b.decided[i] = true
		if b.result.Failed++; len(b.result.Failures) < maxBulkFailures {
			b.result.Failures = append(b.result.Failures, BulkFailure{FileUUID: b.files[i].UUID, Message: ingest.Message(err)})
		}
	default:
		b.undecided++
		if b.result.Err == nil {
			b.result.Err = err
		}
	}
}

// finish says what is left, and behind which file: the last before the first
// that is neither done nor refused. after is where the request began.
func (b *bulkBatch) finish(after int64) {
	r := b.result
	first := slices.Index(b.decided, false)
	switch {
	case first < 0 && len(b.files) < maxBulk:
		r.Remaining = 0
		return
	case first < 0:
		first = len(b.files)
	}
	if first > 0 {
		after = b.files[first-1].ID
	}
	r.Remaining, r.Next = max(0, r.Matched-r.Done-r.Failed), strconv.FormatInt(after, 10)
}
