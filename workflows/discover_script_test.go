package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// script mocks the server and ledger of a DiscoverFiles. It records the calls of the
// workflow with their times on the environment's clock. The environment runs mocks
// concurrently with the workflow, hence the lock.
type script struct {
	sync.Mutex
	env   *testsuite.TestWorkflowEnvironment
	began time.Time
	// settings are returned by each listing, with its own counts.
	settings activities.ListServerFilesResult
	// The n-th entry is the result of the n-th call; further calls return immediately
	// and empty.
	listings []listing
	// tries are the results of TryListing; without one the listing is left to the
	// activity.
	tries       []listing
	rechecks    []recheck
	dispatchers []dispatcher

	log    []string // e.g. "1m0s list"
	forced []bool   // Force of each listing
	// origins are the requesters passed to each listing.
	origins []ingest.ScanOrigin
	// refused is the earlier refusal passed to each listing.
	refused []*ingest.Failure
	calls   map[string]int
}

type listing struct {
	takes    time.Duration
	seen     int64
	settling int64
	paused   bool
	idle     bool // nothing is ready, deferred or in flight
	err      error
	panics   bool
}

type recheck struct {
	takes  time.Duration
	result activities.RecheckSettlingResult
	err    error
}

// dispatcher is one DispatchFiles, which runs until the files it has started are done.
type dispatcher struct {
	takes  time.Duration
	result activities.DispatchFilesResult
	err    error
	// ending, which may be nil, is called just before the workflow gets the result.
	ending func()
}

func newScript(t *testing.T) *script {
	t.Helper()
	s := &script{
		env: newEnv(t), calls: map[string]int{},
		settings: activities.ListServerFilesResult{ServerName: "acme", MaxParallel: 3, Settle: 10 * time.Second, ScanInterval: time.Minute, Dispatchable: true},
	}
	s.began = s.env.Now()
	s.env.OnActivity(activities.NameTryListing, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.ListServerFilesInput) (activities.ListServerFilesResult, error) {
			if len(s.tries) == 0 {
				return activities.ListServerFilesResult{}, listingIncomplete(activities.Leftover{})
			}
			l := next(s, "try", s.tries)
			return s.listed(l), l.err
		}).Maybe()
	s.env.OnActivity(activities.NameListServerFiles, mock.Anything, mock.Anything).
		AfterFn(func() time.Duration { return next(s, "list", s.listings).takes }).
		Return(func(_ context.Context, in activities.ListServerFilesInput) (activities.ListServerFilesResult, error) {
			l := current(s, "list", s.listings)
			s.forced = append(s.forced, in.Force)
			s.origins = append(s.origins, ingest.ScanOrigin{Source: in.Source, RequestedBy: in.RequestedBy})
			s.refused = append(s.refused, in.Refused)
			if l.panics {
				panic("a bug")
			}
			return s.listed(l), l.err
		}).Maybe()
	s.env.OnActivity(activities.NameRecheckSettling, mock.Anything, activities.RecheckSettlingInput{ServerUUID: serverUUID}).
		AfterFn(func() time.Duration { return next(s, "recheck", s.rechecks).takes }).
		Return(func(context.Context, activities.RecheckSettlingInput) (activities.RecheckSettlingResult, error) {
			r := current(s, "recheck", s.rechecks)
			return r.result, r.err
		}).Maybe()
	s.env.OnActivity(activities.NameDispatchFiles, mock.Anything, activities.DispatchFilesInput{ServerUUID: serverUUID}).
		AfterFn(func() time.Duration { return next(s, "dispatch", s.dispatchers).takes }).
		Return(func(context.Context, activities.DispatchFilesInput) (activities.DispatchFilesResult, error) {
			d := current(s, "dispatch", s.dispatchers)
			if d.ending != nil {
				d.ending()
			}
			return d.result, d.err
		}).Maybe()
	s.env.SetOnActivityCanceledListener(func(info *activityInfo) { s.record("cancel " + info.ActivityType.Name) })
	return s
}

// listed returns the result of a listing.
func (s *script) listed(l listing) activities.ListServerFilesResult {
	if l.paused {
		return activities.ListServerFilesResult{Paused: true}
	}
	result := s.settings
	result.Seen, result.Settling = l.seen, l.settling
	result.Dispatchable = result.Dispatchable && !l.idle
	return result
}

// listingIncomplete returns the error with which TryListing leaves a listing to the activity.
func listingIncomplete(left activities.Leftover) error {
	return temporal.NewApplicationErrorWithOptions("elsewhere", activities.TypeListingIncomplete,
		temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{left}})
}

// next records the start of a call and returns its entry.
func next[T any](s *script, what string, entries []T) T {
	s.record(what)
	s.Lock()
	s.calls[what]++
	s.Unlock()
	return current(s, what, entries)
}

// current returns the entry of the running call.
func current[T any](s *script, what string, entries []T) (entry T) {
	s.Lock()
	defer s.Unlock()
	if n := s.calls[what]; n <= len(entries) {
		entry = entries[n-1]
	}
	return entry
}

func (s *script) record(what string) {
	s.Lock()
	defer s.Unlock()
	s.log = append(s.log, s.env.Now().Sub(s.began).String()+" "+what)
}

// at calls fn after the given time.
func (s *script) at(after time.Duration, fn func()) { s.env.RegisterDelayedCallback(fn, after) }

// run executes the scan and records its end.
func (s *script) run(in workflows.DiscoverFilesInput) {
	in.ServerUUID, in.Source = serverUUID, "schedule"
	s.env.ExecuteWorkflow(workflows.NameDiscoverFiles, in)
	s.record("end")
}

// summary runs the scan, which must complete, and returns its result.
func (s *script) summary(t *testing.T) workflows.DiscoverSummary {
	t.Helper()
	s.run(workflows.DiscoverFilesInput{})
	return s.result(t)
}

// result returns the result of the scan, which must have completed.
func (s *script) result(t *testing.T) (summary workflows.DiscoverSummary) {
	t.Helper()
	require.NoError(t, s.env.GetWorkflowError())
	require.NoError(t, s.env.GetWorkflowResult(&summary))
	return summary
}

// requireFailure requires that the scan completed with a failure of the kind in its
// summary; "" means without a failure.
func (s *script) requireFailure(t *testing.T, kind ingest.Kind) {
	t.Helper()
	var want *ingest.Failure
	if kind != "" {
		want = &ingest.Failure{Step: ingest.StepDiscover, Kind: kind, Message: "it failed: " + string(kind)}
	}
	require.Equal(t, want, s.result(t).Failure)
}
