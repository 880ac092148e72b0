package activities_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

func (b *bench) try(t *testing.T) (result activities.ListServerFilesResult, kind string) {
	t.Helper()
	in := activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual"}
	if kind = b.run(t, activities.NameTryListing, in); kind == "" {
		b.get(t, activities.NameTryListing, in, &result)
	}
	return result, kind
}

// TestTryListing checks that a complete listing is recorded, with whether files can be
// dispatched, and that a server whose last listing failed is left to the activity.
func TestTryListing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	result, kind := b.try(t)
	require.Empty(t, kind)
	assert.False(t, result.Dispatchable, "nothing is ready")
	scan := b.LatestScan(t, b.server.UUID)
	assert.False(t, scan.FinishedAt.IsZero())
	assert.WithinDuration(t, scan.StartedAt, b.now(t).LastScanAt, 0)

	b.sshd.Write(t, "a.csv", sandbox.Random(10))
	result, kind = b.try(t)
	require.Empty(t, kind)
	assert.EqualValues(t, 1, result.Seen)
	assert.True(t, result.Dispatchable, "a file is ready")

	require.NoError(t, b.Store.FinishScan(b.Context(t), ingest.ScanResult{
		Key: "failed", ServerUUID: b.server.UUID, Failure: &ingest.Failure{Kind: ingest.KindTransient, Message: "it was unavailable"},
	}))
	logins := b.countLogins()
	_, kind = b.try(t)
	assert.Equal(t, activities.TypeListingIncomplete, kind)
	assert.Zero(t, logins.count.Load(), "no login to a suspended server")
	require.Empty(t, b.list(t, false))
	_, kind = b.try(t)
	assert.Empty(t, kind, "the server has recovered")
}

// TestTryListingIsRefusedOnce: the refusal is recorded, and no other login follows.
func TestTryListingIsRefusedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sshd.RotateHostKey(t)
	b.sshd.KillSessions()
	logins := b.countLogins()
	require.Equal(t, string(ingest.KindHostKey), b.run(t, activities.NameTryListing, activities.ListServerFilesInput{ServerUUID: b.server.UUID}))
	assert.Equal(t, ingest.ServerSuspended, b.now(t).State)
	_, kind := b.try(t)
	assert.Equal(t, string(ingest.KindSuspended), kind)
	assert.EqualValues(t, 1, logins.count.Load())
}

// unfinishedScans is a catalog that cannot record the end of a scan.
type unfinishedScans struct{ activities.Catalog }

func (unfinishedScans) FinishScan(context.Context, ingest.ScanResult) error {
	return ingest.Errorf(ingest.KindTransient, "the ledger is unavailable")
}

// TestAnUnfinishedTryCountsItsFiles: its recorded files are known to the next listing and
// still count as new.
func TestAnUnfinishedTryCountsItsFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 3 {
		b.sshd.Write(t, fmt.Sprintf("%d.csv", i), sandbox.Random(10))
	}
	ledger := b.acts.Catalog
	b.acts.Catalog = unfinishedScans{ledger}
	in := activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual"}
	_, err := b.env.ExecuteActivity(activities.NameTryListing, in)
	var left *temporal.ApplicationError
	require.ErrorAs(t, err, &left)
	require.Equal(t, activities.TypeListingIncomplete, left.Type())
	require.NoError(t, left.Details(&in.Leftover))
	require.EqualValues(t, 3, in.New)

	b.acts.Catalog = ledger
	b.sshd.Write(t, "late.csv", sandbox.Random(10))
	result := value[activities.ListServerFilesResult](t, b, activities.NameListServerFiles, in)
	assert.EqualValues(t, 4, result.New)
	scan := b.LatestScan(t, b.server.UUID)
	assert.Equal(t, ingest.ScanCounts{Seen: 4, New: 4}, scan.ScanCounts)
}

// fakeScans is Temporal for a pass; it refuses server-003. TestWorkflowsConform compares it with
// Temporal.
type fakeScans struct {
	activities.Workflows
	mu    sync.Mutex
	calls map[string]int // by server name
}

func (s *fakeScans) StartScan(_ context.Context, server activities.ServerRef, _ activities.StartScansInput) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[server.Name]++
	if server.Name == "server-003" {
		return false, ingest.Errorf(ingest.KindTransient, "refused by Temporal")
	}
	return s.calls[server.Name] == 1, nil
}

// TestStartScansReachesEveryServer: servers are read in pages. A scan that cannot be
// started delays no other, and a retry continues after the last page.
func TestStartScansReachesEveryServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 450 {
		_, err := b.Store.AddServer(b.Context(t), ingest.Server{Name: fmt.Sprintf("server-%03d", i), Host: "h", Username: "u", Active: true})
		require.NoError(t, err)
	}
	temporal := &fakeScans{calls: map[string]int{}}
	b.acts.Workflows = temporal
	var sum activities.ScanSummary
	b.get(t, activities.NameStartScans, activities.StartScansInput{Pass: "p"}, &sum)
	assert.Len(t, temporal.calls, 451)
	assert.Equal(t, 450, sum.Started)
	assert.Equal(t, 1, sum.Failed)
	assert.Len(t, sum.Servers, 200)

	var last string
	for after := ""; ; after = last {
		page, err := b.Store.DueServers(b.Context(t), ingest.DueQuery{AfterUUID: after, Limit: 200})
		require.NoError(t, err)
		if len(page) < 200 {
			break
		}
		last = page[len(page)-1].UUID
	}
	b.env.SetHeartbeatDetails(activities.PassProgress{AfterUUID: last, Done: activities.ScanSummary{Started: 400}})
	temporal.calls = map[string]int{}
	b.get(t, activities.NameStartScans, activities.StartScansInput{Pass: "p"}, &sum)
	assert.Len(t, temporal.calls, 51)
	assert.Equal(t, 451, sum.Started+sum.Failed)
}
