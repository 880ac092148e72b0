package admin

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/workflows"
)

const (
	// maxBulk is how many files one request decides on, so that it ends in time.
	maxBulk = 500
	// bulkAtOnce bounds the decisions under way.
	bulkAtOnce = 8
	// maxBulkFailures bounds what is listed of what was refused.
	maxBulkFailures = 100
)

// BulkRequest is a decision on all files in error that a filter selects.
type BulkRequest struct {
	// Filter selects them; its statuses and limit are set by DecideAll.
	Filter   ingest.FileFilter
	Action   Action
	Decision workflows.Decision
	// DryRun only counts.
	DryRun bool
	// Expected, when not nil, is how many the caller means: another number is
	// KindConflict and nothing is done.
	Expected *int64
}

// BulkResult says what became of a BulkRequest.
type BulkResult struct {
	// Matched is how many files the filter selected, Done on how many was
	// decided, Remaining how many are left for another request.
	Matched, Done, Remaining int64
	// Failures are those that were refused, at most 100 of Failed.
	Failures []BulkFailure
	Failed   int64
}

// BulkFailure is a file on which could not be decided.
type BulkFailure struct {
	FileUUID string
	Message  string
}

// DecideAll decides on up to 500 files at once. What is refused for one file
// is in the result and stops no other.
func (a *Admin) DecideAll(ctx context.Context, req BulkRequest) (BulkResult, error) {
	req.Filter.Statuses, req.Filter.Limit = []ingest.Status{ingest.StatusError}, maxBulk
	ledger, err := a.resolve(ctx, &req.Filter)
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
	return result, a.decideEach(ctx, req, files, &result)
}

func (a *Admin) decideEach(ctx context.Context, req BulkRequest, files []ingest.File, result *BulkResult) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(bulkAtOnce)
	for _, file := range files {
		group.Go(func() error {
			_, err := a.Decide(ctx, file.UUID, req.Action, req.Decision)
			var known *ingest.Error
			if err != nil && (!errors.As(err, &known) || !known.Kind.Permanent()) {
				return err // the ledger or Temporal is away: so it is for the rest
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				result.Done++
				return nil
			}
			if result.Failed++; len(result.Failures) < maxBulkFailures {
				result.Failures = append(result.Failures, BulkFailure{FileUUID: file.UUID, Message: oneMessage(err)})
			}
			return nil
		})
	}
	err := group.Wait()
	result.Remaining = max(0, result.Matched-result.Done-result.Failed)
	return err
}
