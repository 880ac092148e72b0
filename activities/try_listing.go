package activities

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// TypeListingIncomplete is the type of the error with which TryListing leaves the listing to
// ListServerFiles. Its detail is a Leftover.
const TypeListingIncomplete = "listing_incomplete"

const (
	// defaultTryLimit is well below the timeout of a workflow task, 10 s.
	defaultTryLimit = 3 * time.Second
	// slowListing: TryListing leaves a server to ListServerFiles if its last listing
	// took longer than the time limit divided by this, one second.
	slowListing = 3
	// maxTryListings bounds the listings within workflow tasks that compete for the
	// processor: a pass starts a thousand in a few seconds.
	maxTryListings = 16
	// tryHoldTime bounds how long a listing occupies its place. A server that does not
	// respond uses no processor time and must not occupy one.
	tryHoldTime = 250 * time.Millisecond
)

// Leftover is the result of an unfinished TryListing, for ListServerFiles.
type Leftover struct {
	// Refused is a server-level refusal of the login, which must not be repeated.
	Refused *ingest.Failure `json:"refused,omitempty"`
	// New and Rejected count the rows it recorded, which the next listing finds already
	// known.
	New      int64 `json:"recorded_new,omitempty"`
	Rejected int64 `json:"recorded_rejected,omitempty"`
}

// TryListing lists a server within the workflow task, which is cheaper than a regular
// activity. It records only complete and permanently failed listings. It leaves the
// listing to ListServerFiles if it is not complete within TryLimit or fails transiently.
// If the last listing failed or was slow, it leaves it without a login.
func (a *Activities) TryListing(ctx context.Context, in ListServerFilesInput) (ListServerFilesResult, error) {
	a.startGate.wait(ctx, startGateTimeout)
	server, last, err := a.Catalog.ServerToScan(ctx, in.ServerUUID)
	switch {
	case ingest.IsKind(err, ingest.KindMissing), err == nil && !server.Active:
		return ListServerFilesResult{Paused: true}, nil
	case err != nil, server.State == ingest.ServerOK && server.LastError != "", last > a.tryLimit()/slowListing:
		return ListServerFilesResult{}, listingIncomplete(Leftover{})
	}
	endTurn, err := a.acquireTry(ctx)
	if err != nil {
		return ListServerFilesResult{}, listingIncomplete(Leftover{})
	}
	defer endTurn()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.tryLimit())
	defer cancel()
	info := activity.GetInfo(ctx)
	in.try, in.key = true, fmt.Sprintf("%s/try-%s", info.WorkflowExecution.RunID, info.ActivityID)
	result, err := a.list(ctx, server, in, nil)
	if err != nil && !ingest.KindOf(err).Permanent() {
		return ListServerFilesResult{}, listingIncomplete(result.leftover(nil))
	}
	finish := scanResult(server, in, result, err)
	finish.Key, finish.Took = in.key, time.Since(began)
	if finishErr := a.Catalog.FinishScan(ctx, finish); finishErr != nil {
		return ListServerFilesResult{}, listingIncomplete(result.leftover(finish.Failure))
	}
	if err != nil { // the SDK logs failures of regular activities only
		activity.GetLogger(ctx).Warn("cannot list a server", "server", server.Name, "error", err)
	}
	return result.ListServerFilesResult, applicationError(err)
}

// leftover returns the result to hand to ListServerFiles; failure may be nil.
func (l listing) leftover(failure *ingest.Failure) Leftover {
	left := Leftover{New: l.New, Rejected: l.Rejected}
	if failure != nil && failure.Kind.ServerLevel() {
		left.Refused = failure
	}
	return left
}

// acquireTry waits for a place among the listings within workflow tasks. The place is
// released after tryHoldTime, or when end is called before.
func (a *Activities) acquireTry(ctx context.Context) (end func(), err error) {
	select {
	case a.trySlots <- struct{}{}:
		release := func() { <-a.trySlots }
		held := time.AfterFunc(tryHoldTime, release)
		return func() {
			if held.Stop() {
				release()
			}
		}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tryLimit returns the time limit of a listing within a workflow task.
func (a *Activities) tryLimit() time.Duration { return cmp.Or(a.TryLimit, defaultTryLimit) }

func listingIncomplete(left Leftover) error {
	return temporal.NewApplicationErrorWithOptions("the server is listed by ListServerFiles", TypeListingIncomplete,
		temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{left}})
}
