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
	// maxBulk bounds the files of one request, so that it ends in time.
	maxBulk = 500
	// bulkConcurrency bounds concurrent actions. After as many transient failures the
	// ledger or Temporal is down and the request stops.
	bulkConcurrency = 8
	// maxBulkFailures bounds the listed failures.
	maxBulkFailures = 100
	// bulkReserve is the time before the deadline in which a request starts no action, so
	// that actions in progress can end and be counted.
	bulkReserve = 6 * time.Second
)

// BulkRequest is an operator action on all failed files that a filter selects. Skip also
// applies to files that have not started, if the filter names them or their status.
type BulkRequest struct {
	// Filter selects the files; ActOnFiles sets its order and position.
	Filter  ingest.FileFilter
	Action  ingest.Action
	Details workflows.OperatorAction
	// Cursor is Next of the previous request and omits the files that it processed; empty
	// starts with the oldest file.
	Cursor string
	// DryRun only counts.
	DryRun bool
	// Expected, when not nil, is the number of files that the caller expects. Another number
	// is KindConflict and no file changes.
	Expected *int64
}

// BulkResult is the result of a BulkRequest.
type BulkResult struct {
	// Matched counts the files that the filter selected after the request's Cursor, Done
	// the accepted actions, and Remaining the files left for another request.
	Matched, Done, Remaining int64
	// Failures are the refused files, at most 100 of Failed.
	Failures []BulkFailure
	Failed   int64
	// Next is the Cursor of the next request; empty when no file is left. It is after
	// refused files, so that they do not block later ones.
	Next string
	// Err is the transient error of files on which the action failed without being refused;
	// nil when there are none. They are counted in Remaining and come after Next.
	Err error
}

// BulkFailure is a file for which the action was refused.
type BulkFailure struct {
	FileUUID string
	Message  string
}

// ActOnFiles implements Files.
func (s *Service) ActOnFiles(ctx context.Context, req BulkRequest) (BulkResult, error) {
	req.Filter.Statuses, req.Filter.Limit = decidable(req.Action, req.Filter), maxBulk
	req.Filter.Order = ingest.OrderOldest
	var err error
	if req.Filter.AfterID, err = readBulkCursor(req.Cursor); err != nil {
		return BulkResult{}, err
	}
	if req.Filter.Server, err = s.uuidOf(ctx, req.Filter.Server); err != nil {
		return BulkResult{}, err
	}
	var result BulkResult
	if result.Matched, err = s.d.Ledger.CountMatching(ctx, req.Filter); err != nil {
		return result, err
	}
	result.Remaining = result.Matched
	if req.Expected != nil && *req.Expected != result.Matched {
		return result, ingest.Errorf(ingest.KindConflict, "the filter selects %s now, not %d: count again, then repeat the action", ingest.Counted(result.Matched, "file", "files"), *req.Expected)
	}
	if req.DryRun || result.Matched == 0 {
		return result, nil
	}
	files, err := s.d.Ledger.Files(ctx, req.Filter)
	if err != nil {
		return result, err
	}
	batch := bulkBatch{files: files, ended: make([]bool, len(files)), result: &result}
	noWorker := sync.OnceValue(func() error { return s.noWorker(ctx) })
	batch.actOnEach(ctx, func(ctx context.Context, file ingest.File) error {
		_, err := s.actOnFile(ctx, file.UUID, req.Action, req.Details, noWorker)
		return err
	})
	batch.finish(req.Filter.AfterID)
	if result.Done+result.Failed == 0 {
		return result, result.Err
	}
	return result, nil
}

// decidable returns the statuses of the files to act on. Skipping by a pattern does not
// skip arriving files.
func decidable(action ingest.Action, filter ingest.FileFilter) []ingest.Status {
	var statuses []ingest.Status
	for _, status := range []ingest.Status{ingest.StatusError, ingest.StatusDiscovered, ingest.StatusReady} {
		named := slices.Contains(filter.Statuses, status) || len(filter.UUIDs) > 0 && len(filter.Statuses) == 0
		if named && (status == ingest.StatusError || action == ingest.ActionSkip) {
			statuses = append(statuses, status)
		}
	}
	if len(statuses) == 0 {
		return []ingest.Status{ingest.StatusError}
	}
	return statuses
}

// readBulkCursor returns the id of the last processed file.
func readBulkCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || id < 0 {
		wrong := ingest.FieldErrors{{Field: "cursor", Message: "cursor: use next_cursor of the previous request, unchanged"}}
		return 0, wrong.Err("cannot continue the bulk action")
	}
	return id, nil
}

// bulkBatch is the files of one request and their results.
type bulkBatch struct {
	files []ingest.File
	mu    sync.Mutex
	// ended is true for each file that is done or refused; transient counts transient
	// failures.
	ended     []bool
	transient int
	result    *BulkResult
}

// actOnEach acts on each file until the time is nearly over or a dependency is down.
func (b *bulkBatch) actOnEach(ctx context.Context, act func(context.Context, ingest.File) error) {
	until := bulkUntil(ctx, time.Now())
	var group errgroup.Group
	group.SetLimit(bulkConcurrency)
	for i, file := range b.files {
		if ctx.Err() != nil || !until.IsZero() && time.Now().After(until) || b.outage() {
			break
		}
		group.Go(func() error {
			b.note(i, act(ctx, file))
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}

// bulkUntil returns the time until which a request that starts now may start actions;
// zero means no limit.
func bulkUntil(ctx context.Context, now time.Time) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(-min(bulkReserve, deadline.Sub(now)/2))
}

// outage reports whether so many actions failed that a dependency must be down.
func (b *bulkBatch) outage() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.transient >= bulkConcurrency
}

// note counts the result of the file with the index.
func (b *bulkBatch) note(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var known *ingest.Error
	switch {
	case err == nil || errors.Is(err, orchestrator.ErrActionPending):
		b.ended[i] = true
		b.result.Done++
	case errors.As(err, &known) && known.Kind.Permanent():
		b.ended[i] = true
		if b.result.Failed++; len(b.result.Failures) < maxBulkFailures {
			b.result.Failures = append(b.result.Failures, BulkFailure{FileUUID: b.files[i].UUID, Message: ingest.Message(err)})
		}
	default:
		b.transient++
		if b.result.Err == nil {
			b.result.Err = err
		}
	}
}

// finish sets Remaining and Next. Next is the last file before the first one that is neither
// done nor refused; after is where the request began.
func (b *bulkBatch) finish(after int64) {
	r := b.result
	first := slices.Index(b.ended, false)
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
