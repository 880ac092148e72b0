package activities_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
)

// treeBench is a bench with an odd server. It passes heartbeats from attempt to attempt.
type treeBench struct {
	*bench
	tree *services.FaultyTree
	last activities.Progress
}

func newTreeBench(t *testing.T) *treeBench {
	t.Helper()
	b := &treeBench{bench: newBench(t)}
	b.acts.ResumePause = time.Millisecond
	b.tree = b.AddTree(t, "odd", func(s *ingest.Server) { s.Settle = 0 })
	server, err := b.Store.ServerByName(b.Context(t), "odd")
	require.NoError(t, err)
	b.server = server
	b.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		if details.HasValues() {
			assert.NoError(t, details.Get(&b.last))
		}
	})
	return b
}

// attempt lists the server as the next attempt of one activity.
func (b *treeBench) attempt(t *testing.T) (kind string) {
	t.Helper()
	b.env.SetHeartbeatDetails(b.last)
	return b.list(t, false)
}

func (b *treeBench) scan(t *testing.T) ingest.Scan {
	t.Helper()
	return b.LatestScan(t, b.server.UUID)
}

// recordedListing is a catalog that records the statistics of the last complete listing.
type recordedListing struct {
	activities.Catalog
	last ingest.Listed
}

func (c *recordedListing) HoldChanges(ctx context.Context, server ingest.Server, l ingest.Listed) (string, error) {
	c.last = l
	return c.Catalog.HoldChanges(ctx, server, l)
}

// TestAnInterruptedListingResumes: one attempt resumes until the listing is complete, and skips
// a folder that always ends the connection. Temporal makes only three attempts, so a scan
// would never get further.
func TestAnInterruptedListingResumes(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	catalog := &recordedListing{Catalog: b.acts.Catalog}
	b.acts.Catalog = catalog
	const folders = 20
	for i := range folders {
		b.tree.File(fmt.Sprintf("%02d/f.csv", i), "1")
	}
	b.tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.N > 30 || r.Op == "READDIR" && r.Path == "/in/07" {
			return services.CutConnection
		}
		return 0
	}})
	require.Empty(t, b.attempt(t))
	scan := b.scan(t)
	assert.EqualValues(t, folders-1, scan.New)
	assert.EqualValues(t, folders-1, scan.Seen)
	want := ingest.Unread{Count: 1, Folders: []ingest.UnreadFolder{
		{Path: "/in/07", Reason: "skipped: the connection was lost in each of 3 attempts to read it"},
	}}
	assert.Equal(t, want, scan.Unread)
	assert.EqualValues(t, 1, scan.Errors)
	assert.False(t, catalog.last.Whole)
	assert.EqualValues(t, folders-1, catalog.last.Seen)
	assert.Equal(t, want, b.now(t).Unread)
	listed, err := b.Store.ScansBefore(b.Context(t), b.server.UUID, 0, 1)
	require.NoError(t, err)
	assert.Equal(t, want, listed[0].Unread)

	b.tree.SetFaults(services.TreeFaults{})
	b.last = activities.Progress{}
	require.Empty(t, b.attempt(t))
	assert.Zero(t, b.now(t).Unread.Count, "the skipped folder is readable again")
	assert.True(t, catalog.last.Whole)

	once := true
	b.tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.Op == "READDIR" && r.Path == "/in/07" && once {
			once = false
			return services.CutConnection
		}
		return 0
	}})
	require.Empty(t, b.attempt(t))
	assert.Zero(t, b.now(t).Unread.Count)
	assert.False(t, catalog.last.Whole, "the second connection repeats no folder of the first")
}

// oneListing is a catalog that treats all listings as attempts of the same one. With crash
// set, a listing leaves its row open, like a worker that crashes.
type oneListing struct {
	activities.Catalog
	// key identifies the listing; the test environment has no attempts.
	key string
	// oneConnection ends an attempt with its first connection, like a worker that is killed;
	// crash also leaves the listing's row open.
	oneConnection, crash bool
	connections          int
}

func (c *oneListing) StartScan(ctx context.Context, serverUUID, _ string) (int64, error) {
	c.connections = 0
	return c.Catalog.StartScan(ctx, serverUUID, c.key)
}

// Recorded is called before each connection.
func (c *oneListing) Recorded(ctx context.Context, scanID int64) (created, rejected int64, err error) {
	if c.connections++; c.oneConnection && c.connections > 1 {
		return 0, 0, ingest.Errorf(ingest.KindTransient, "the worker was killed")
	}
	return c.Catalog.Recorded(ctx, scanID)
}

func (c *oneListing) RecordIgnored(ctx context.Context, serverUUID, _ string, seen []ingest.Observation) error {
	return c.Catalog.RecordIgnored(ctx, serverUUID, c.key, seen)
}

func (c *oneListing) CompanionsDue(ctx context.Context, serverUUID, _ string, again time.Duration) ([]ingest.OrphanCompanion, error) {
	return c.Catalog.CompanionsDue(ctx, serverUUID, c.key, again)
}

func (c *oneListing) FinishScan(ctx context.Context, scan ingest.ScanResult) error {
	if c.crash {
		return ingest.Errorf(ingest.KindTransient, "the worker has crashed")
	}
	return c.Catalog.FinishScan(ctx, scan)
}

// TestAListingThatCrashesWorkersSuspends: two consecutive crashes in the same folder suspend
// the server; crashes in different folders do not.
func TestAListingThatCrashesWorkersSuspends(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	b.tree.File("a/f.csv", "1")
	b.tree.File("b/f.csv", "1")
	crashFolder := "/in/a"
	b.tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if r.Op == "READDIR" && r.Path == crashFolder {
			return services.CutConnection
		}
		return 0
	}})
	catalog := &oneListing{Catalog: b.acts.Catalog, key: "one", oneConnection: true, crash: true}
	b.acts.Catalog = catalog
	require.NotEmpty(t, b.attempt(t))
	crashFolder = "/in/b"
	require.NotEmpty(t, b.attempt(t))
	require.NotEmpty(t, b.attempt(t))
	assert.Equal(t, ingest.ServerOK, b.now(t).State, "once in one folder, once in another")

	catalog.crash = false
	assert.Equal(t, string(ingest.KindServer), b.attempt(t))
	now := b.now(t)
	assert.Equal(t, ingest.ServerSuspended, now.State)
	assert.Contains(t, now.LastError, "its listing crashed the worker")
	assert.Contains(t, now.LastError, "in folder /b")
}

// TestRejectedEntriesAreLimited: they do not fill the ledger, but are all counted.
func TestRejectedEntriesAreLimited(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	for i := range ingest.MaxNewRejected + 700 {
		b.tree.Link(fmt.Sprintf("%05d", i), "/etc/passwd")
	}
	b.tree.File("good.csv", "1")
	require.Empty(t, b.attempt(t))
	scan := b.scan(t)
	assert.EqualValues(t, 1, scan.New)
	assert.EqualValues(t, ingest.MaxNewRejected+700, scan.Rejected)
	rejected := ingest.FileFilter{Server: "odd", Statuses: []ingest.Status{ingest.StatusRejected}}
	count, err := b.Store.CountMatching(b.Context(t), rejected)
	require.NoError(t, err)
	assert.Less(t, count, int64(ingest.MaxNewRejected+observeBatch))
}

// observeBatch is the number of entries recorded in one transaction.
const observeBatch = 500

// TestTryListingIsBounded: the activity continues a listing with many entries.
func TestTryListingIsBounded(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	b.tree.SetFaults(services.TreeFaults{Names: func(_ string, n int) []byte {
		if n > 300 {
			return nil
		}
		var body strings.Builder
		body.Write([]byte{0, 0, 0, 100})
		for i := range 100 {
			name := fmt.Sprintf("%03d%03d", n, i)
			body.Write([]byte{0, 0, 0, 6})
			body.WriteString(name)
			body.Write([]byte{0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0o101, 0xff})
		}
		return []byte(body.String())
	}})
	_, kind := b.try(t)
	assert.Equal(t, activities.TypeListingIncomplete, kind)
}
