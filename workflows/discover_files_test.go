package workflows_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// port is a small model of a server and its ledger behind DiscoverFiles. The
// environment runs mocks and children side by side, hence the lock.
type port struct {
	sync.Mutex
	listing  activities.ListServerFilesResult
	ready    []string // waiting in the ledger
	started  []string
	inFlight int
	most     int // the most files in flight at once
	listings int
	// halts, may be nil, says what a listing finds instead, by its number.
	halts  map[int]halt
	forced []bool // what each listing was asked
}

// halt is what an activity says of a server that is paused or at fault.
type halt struct {
	paused bool
	err    error
}

func newPort(ready int) *port {
	p := &port{listing: activities.ListServerFilesResult{
		ServerName: "acme", MaxParallel: 3, Settle: 10 * time.Second, ScanInterval: time.Minute,
	}}
	for i := range ready {
		p.ready = append(p.ready, fmt.Sprintf("file-%04d", i))
	}
	return p
}

// attach mocks the activities over the model; ingest is what a file's workflow
// does. The environment lets its timers fire before the start is told.
func (p *port) attach(env *testsuite.TestWorkflowEnvironment, ingestFile func(ctx workflow.Context, in workflows.FileIngestInput) error) {
	p.attachServer(env)
	env.OnWorkflow(workflows.NameFileIngest, mock.Anything, mock.Anything).Return(
		func(ctx workflow.Context, in workflows.FileIngestInput) (workflows.FileIngestResult, error) {
			p.enter(in.FileUUID)
			err := ingestFile(ctx, in)
			p.leave()
			return workflows.FileIngestResult{}, err
		}).Maybe()
}

// attachDownloads mocks the activities, those of real files' workflows, too:
// each download takes that long. It is exact about who starts when.
func (p *port) attachDownloads(env *testsuite.TestWorkflowEnvironment, long time.Duration) {
	p.attachServer(env)
	env.OnActivity(activities.NameClaimHost, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ClaimHostInput) (activities.Host, error) {
			p.enter(in.FileUUID)
			return aHost, nil
		}).Maybe()
	expect(env, activities.NameDownload, activities.DownloadResult{}).After(long).Maybe()
	expectTransfer(env)
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Maybe()
}

func (p *port) attachServer(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(activities.NameListServerFiles, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ListServerFilesInput) (activities.ListServerFilesResult, error) {
			p.listings++
			p.forced = append(p.forced, in.Force)
			if h, ok := p.halts[p.listings]; ok {
				return activities.ListServerFilesResult{Paused: h.paused}, h.err
			}
			return p.listing, nil
		}).Maybe()
	env.OnActivity(activities.NameNextReadyFiles, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.NextReadyFilesInput) (activities.NextReadyFilesResult, error) {
			return p.next(in), nil
		}).Maybe()
}

func (p *port) enter(fileUUID string) {
	p.Lock()
	defer p.Unlock()
	p.started = append(p.started, fileUUID)
	p.inFlight++
	p.most = max(p.most, p.inFlight)
}

func (p *port) leave() {
	p.Lock()
	defer p.Unlock()
	p.inFlight--
}

func (p *port) next(in activities.NextReadyFilesInput) (r activities.NextReadyFilesResult) {
	p.Lock()
	defer p.Unlock()
	skip := map[string]bool{}
	for _, uuid := range append(in.Exclude, p.started...) {
		skip[uuid] = true
	}
	for _, uuid := range p.ready {
		if !skip[uuid] && len(r.Files) < in.Limit {
			r.Files = append(r.Files, activities.ReadyFile{UUID: uuid, Summary: "/" + uuid, Size: 1})
		}
	}
	return r
}

func takes(d time.Duration) func(workflow.Context, workflows.FileIngestInput) error {
	return func(ctx workflow.Context, _ workflows.FileIngestInput) error { return workflow.Sleep(ctx, d) }
}

func discover(env *testsuite.TestWorkflowEnvironment) {
	env.ExecuteWorkflow(workflows.NameDiscoverFiles, workflows.DiscoverFilesInput{ServerUUID: serverUUID, Source: "schedule", Since020: true})
}

func TestDiscoverFilesKeepsItsWindow(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(20)
	p.attach(env, takes(5*time.Second))
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.ElementsMatch(t, p.ready, p.started, "each once")
	assert.Equal(t, 3, p.most, "the window is used and not overstepped")
}

func TestDiscoverFilesListsAgainDuringALongBacklog(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(12)
	p.attach(env, takes(50*time.Second))
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.Len(t, p.started, 12)
	assert.GreaterOrEqual(t, p.listings, 2, "200 s of work, one listing a minute")
}

func TestDiscoverFilesWaitsTheSettleTime(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(0)
	p.listing.Settling = 1
	began := env.Now()
	var recheckedAfter time.Duration
	env.OnActivity(activities.NameRecheckSettling, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.RecheckSettlingInput) (activities.RecheckSettlingResult, error) {
			recheckedAfter = env.Now().Sub(began)
			p.ready = []string{"settled"}
			return activities.RecheckSettlingResult{Ready: 1}, nil
		}).Once()
	p.attach(env, takes(time.Second))
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.Equal(t, []string{"settled"}, p.started)
	assert.GreaterOrEqual(t, recheckedAfter, p.listing.Settle)
}

// TestDiscoverFilesWaitsTheSettleTimeAfterASlowListing: the time that the
// listing takes must not count as time in which files kept changing.
func TestDiscoverFilesWaitsTheSettleTimeAfterASlowListing(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(0)
	p.listing.Settling = 1
	expect(env, activities.NameListServerFiles, p.listing).After(3 * time.Minute).Once()
	env.OnActivity(activities.NameRecheckSettling, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.RecheckSettlingInput) (activities.RecheckSettlingResult, error) {
			p.ready = []string{"settled"}
			return activities.RecheckSettlingResult{Ready: 1}, nil
		}).Once()
	p.attach(env, takes(time.Second))
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.Equal(t, []string{"settled"}, p.started)
}

func TestDiscoverFilesLeavesAFileThatKeepsGrowingToTheNextScan(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(0)
	p.listing.Settling = 1
	expect(env, activities.NameRecheckSettling, activities.RecheckSettlingResult{Settling: 1})
	p.attach(env, takes(time.Second))
	began := env.Now()
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	var s workflows.DiscoverSummary
	require.NoError(t, env.GetWorkflowResult(&s))
	assert.EqualValues(t, 1, s.Settling)
	assert.Empty(t, p.started)
	assert.Less(t, env.Now().Sub(began), 2*time.Minute)
}

func TestDiscoverFilesReportsAFailedListing(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	env.OnActivity(activities.NameListServerFiles, mock.Anything, mock.Anything).Return(activities.ListServerFilesResult{}, failure(ingest.KindAuth)).Once()
	discover(env)
	require.ErrorContains(t, env.GetWorkflowError(), "auth")
}

func TestDiscoverFilesListsAgainWhenAsked(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(1)
	p.attach(env, takes(10*time.Second))
	env.RegisterDelayedCallback(func() {
		p.ready = append(p.ready, "new")
		env.SignalWorkflow(workflows.SignalRescan, nil)
	}, time.Second)
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.Equal(t, 2, p.listings)
	assert.Equal(t, []string{"file-0000", "new"}, p.started)
}

// TestDiscoverFilesUsesAPlaceThatBecameFreeDuringAListing: a signal that comes
// while the server is listed must not be lost to the file that waits for it.
func TestDiscoverFilesUsesAPlaceThatBecameFreeDuringAListing(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(0)
	p.listing.MaxParallel = 1
	expect(env, activities.NameListServerFiles, p.listing).Once()
	expect(env, activities.NameListServerFiles, p.listing).After(30 * time.Second).Once()
	expect(env, activities.NameListServerFiles, p.listing).Maybe()
	expect(env, activities.NameNextReadyFiles, activities.NextReadyFilesResult{Files: []activities.ReadyFile{{UUID: "slow"}, {UUID: "next"}}}).Once()
	expect(env, activities.NameNextReadyFiles, activities.NextReadyFilesResult{}).Maybe()
	of := func(fileUUID string) any {
		return mock.MatchedBy(func(in activities.DownloadInput) bool { return in.FileUUID == fileUUID })
	}
	began := env.Now()
	var startedAfter time.Duration
	env.OnActivity(activities.NameDownload, mock.Anything, of("slow")).Return(activities.DownloadResult{}, nil).After(12 * time.Hour)
	env.OnActivity(activities.NameDownload, mock.Anything, of("next")).Return(
		func(context.Context, activities.DownloadInput) (activities.DownloadResult, error) {
			startedAfter = env.Now().Sub(began)
			return activities.DownloadResult{}, nil
		}).Once()
	expectTransfer(env)
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Maybe()
	env.RegisterDelayedCallback(func() {
		env.SignalWorkflow(workflows.SignalSlotFreed, workflows.SlotFreed{FileUUID: "slow"})
	}, p.listing.ScanInterval+10*time.Second)
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.InDelta(t, (p.listing.ScanInterval + 30*time.Second).Seconds(), startedAfter.Seconds(), 5, "as soon as the listing is through")
}

func TestDiscoverFilesHandsOverALongBacklog(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(700)
	p.listing.MaxParallel = 10
	p.attach(env, takes(time.Second))
	discover(env)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.DiscoverFilesInput
	require.NoError(t, payloads(next, &in))
	require.NotNil(t, in.Carried)
	assert.EqualValues(t, 500, in.Carried.Summary.Started)
	assert.NotEmpty(t, in.Carried.InFlight, "files in flight are handed over, not waited for")
	assert.LessOrEqual(t, len(in.Carried.InFlight), 10)
}

func TestDiscoverFilesCountsWhatItTookOver(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(3)
	p.listing.MaxParallel = 1
	asked := 0
	env.OnActivity(activities.NameOpenIngests, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.OpenIngestsInput) (activities.OpenIngestsResult, error) {
			assert.Empty(t, p.started, "nothing starts while the carried file holds the window")
			if asked++; asked == 1 {
				return activities.OpenIngestsResult(in), nil
			}
			return activities.OpenIngestsResult{}, nil
		}).Twice()
	p.attach(env, takes(time.Second))
	env.ExecuteWorkflow(workflows.NameDiscoverFiles, workflows.DiscoverFilesInput{
		ServerUUID: serverUUID,
		Carried:    &workflows.DiscoverState{Server: p.listing, ListedAt: env.Now(), InFlight: []string{"earlier"}},
	})
	require.NoError(t, env.GetWorkflowError())
	assert.Len(t, p.started, 3)
	assert.Zero(t, p.listings, "the run before has just listed")
}
