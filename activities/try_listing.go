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

// TypeNotThrough is the type of the error with which TryListing leaves the listing
// to ListServerFiles. Its detail is a Leftover.
const TypeNotThrough = "not_through"

const (
	// defaultTryLimit is well below the time-out of a workflow task, 10 s.
	defaultTryLimit = 3 * time.Second
	// slowListing: a server whose last listing took more than the limit divided by
	// this, a second, is not tried within a workflow task.
	slowListing = 3
	// triesAtOnce bounds the listings within workflow tasks that compete for the
	// processor: a pass starts a thousand in a few seconds.
	maxTryListings = 16
	// tryHolds is how long a listing may hold its place among them. A server that
	// does not answer costs no processor time and keeps none.
	tryHoldTime = 250 * time.Millisecond
)

// Leftover is what ListServerFiles must know of a listing that was tried before.
type Leftover struct {
	// Refused is what the server as a whole answered to the log-in: it must not be
	// logged in to again.
	Refused *ingest.Failure `json:"refused,omitempty"`
	// New and Rejected are the rows that it has recorded: to the next listing these
	// files are known.
	New      int64 `json:"recorded_new,omitempty"`
	Rejected int64 `json:"recorded_rejected,omitempty"`
}

// TryListing is ListServerFiles for the servers that are listed in moments. It
// runs within the workflow task and leaves to ListServerFiles what is not through
// within 3 s, what fails for a transient reason, and servers whose last listing
// failed or was slow, without logging in to them. Only what is through, and what
// fails permanently, is recorded.
func (a *Activities) TryListing(ctx context.Context, in ListServerFilesInput) (ListServerFilesResult, error) {
	a.startGate.wait(ctx, startGateTimeout)
	server, last, err := a.Catalog.ServerToScan(ctx, in.ServerUUID)
	switch {
	case ingest.IsKind(err, ingest.KindMissing), err == nil && !server.Active:
		return ListServerFilesResult{Paused: true}, nil
	case err != nil, server.State == ingest.ServerOK && server.LastError != "", last > a.tryLimit()/slowListing:
		return ListServerFilesResult{}, notThrough(Leftover{})
	}
	endTurn, err := a.acquireTry(ctx)
	if err != nil {
		return ListServerFilesResult{}, notThrough(Leftover{})
	}
	defer endTurn()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.tryLimit())
	defer cancel()
	info := activity.GetInfo(ctx)
	in.try, in.key = true, fmt.Sprintf("%s/try-%s", info.WorkflowExecution.RunID, info.ActivityID)
	result, err := a.list(ctx, server, in, nil)
	if err != nil && !ingest.KindOf(err).Permanent() {
		return ListServerFilesResult{}, notThrough(result.leftover(nil))
	}
	finish := scanResult(server, in, result, err)
	finish.Key, finish.Took = in.key, time.Since(began)
	if finishErr := a.Catalog.FinishScan(ctx, finish); finishErr != nil {
		return ListServerFilesResult{}, notThrough(result.leftover(finish.Failure))
	}
	if err != nil { // the SDK logs failures of ordinary activities only
		activity.GetLogger(ctx).Warn("cannot list a server", "server", server.Name, "error", err)
	}
	return result.ListServerFilesResult, applicationError(err)
}

// leftover returns what ListServerFiles must know of the listing that ended with
// the failure, which may be nil.
func (l listing) leftover(failure *ingest.Failure) Leftover {
	left := Leftover{New: l.New, Rejected: l.Rejected}
	if failure != nil && failure.Kind.ServerLevel() {
		left.Refused = failure
	}
	return left
}

// takeTurn waits for a place among the listings that compete for the processor.
// The place is released after tryHolds, or when end is called before.
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

// tryLimit bounds a listing within a workflow task.
func (a *Activities) tryLimit() time.Duration { return cmp.Or(a.TryLimit, defaultTryLimit) }

func notThrough(left Leftover) error {
	return temporal.NewApplicationErrorWithOptions("the server is listed by an activity of its own", TypeNotThrough,
		temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{left}})
}
