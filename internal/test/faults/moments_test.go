package faults_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// tick is the polling interval of tests.
const tick = 20 * time.Millisecond

// moments are hooks at exact points of a file's steps inside the worker; nil ones do
// nothing.
type moments struct {
	afterFetch     func(ingest.Staged)
	beforePut      func(ingest.Put)
	afterPut       func(ingest.Put)
	beforeAnnounce func()
	// finishScan may return an error instead of writing to the database.
	finishScan func() error
	// dueServers is called before a scan of all servers reads the due ones.
	dueServers func()
	// beforeRecheck is called before the result of a second look at settling files is
	// written, and so before any of them has settled.
	beforeRecheck func()
}

// wrap adds the hooks to a worker's dependencies, see sandbox.StartWorkerWith.
func (m moments) wrap(d activities.Deps) activities.Deps {
	d.Staging = stagingMoments{d.Staging, m}
	d.Objects = objectsMoments{d.Objects, m}
	d.Publisher = publisherMoments{d.Publisher, m}
	d.Catalog = catalogMoments{d.Catalog, m}
	return d
}

type catalogMoments struct {
	activities.Catalog
	m moments
}

func (c catalogMoments) DueServers(ctx context.Context, q ingest.DueQuery) ([]ingest.Server, error) {
	if c.m.dueServers != nil {
		c.m.dueServers()
	}
	return c.Catalog.DueServers(ctx, q)
}

func (c catalogMoments) Observe(ctx context.Context, server, source string, seen []ingest.Observation) (ingest.ScanCounts, error) {
	if c.m.beforeRecheck != nil && source == "recheck" {
		c.m.beforeRecheck()
	}
	return c.Catalog.Observe(ctx, server, source, seen)
}

func (c catalogMoments) FinishScan(ctx context.Context, scan ingest.ScanResult) error {
	if c.m.finishScan != nil {
		if err := c.m.finishScan(); err != nil {
			return err
		}
	}
	return c.Catalog.FinishScan(ctx, scan)
}

type stagingMoments struct {
	activities.Staging
	m moments
}

func (s stagingMoments) Fetch(ctx context.Context, req ingest.Fetch) (ingest.Staged, error) {
	staged, err := s.Staging.Fetch(ctx, req)
	if err == nil && s.m.afterFetch != nil {
		s.m.afterFetch(staged)
	}
	return staged, err
}

type objectsMoments struct {
	activities.Objects
	m moments
}

func (o objectsMoments) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	if o.m.beforePut != nil {
		o.m.beforePut(req)
	}
	object, err := o.Objects.Put(ctx, req)
	if err == nil && o.m.afterPut != nil {
		o.m.afterPut(req)
	}
	return object, err
}

func (o objectsMoments) PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	put := ingest.Put{Key: req.Key, Size: int64(len(req.Body)), SHA256: req.SHA256, Metadata: req.Metadata}
	if o.m.beforePut != nil {
		o.m.beforePut(put)
	}
	object, err := o.Objects.PutBytes(ctx, req)
	if err == nil && o.m.afterPut != nil {
		o.m.afterPut(put)
	}
	return object, err
}

type publisherMoments struct {
	activities.Publisher
	m moments
}

func (a publisherMoments) Publish(ctx context.Context, message ingest.Notification) (ingest.Receipt, error) {
	if a.m.beforeAnnounce != nil {
		a.m.beforeAnnounce()
	}
	return a.Publisher.Publish(ctx, message)
}

// firstTime returns a function that calls fn on its first call, and a counter of its
// calls.
func firstTime[T any](fn func(T)) (do func(T), calls *atomic.Int32) {
	calls = &atomic.Int32{}
	return func(at T) {
		if calls.Add(1) == 1 {
			fn(at)
		}
	}, calls
}

// runningStep returns the pending step of the file in Temporal, with its attempt and last
// failure. It is zero without one.
func runningStep(t *testing.T, h *sandbox.Cluster, fileUUID string) (attempt int32, failure string) {
	described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), ingest.IngestWorkflowID(fileUUID), "")
	if err != nil {
		return 0, ""
	}
	for _, step := range described.GetPendingActivities() {
		attempt, failure = step.GetAttempt(), step.GetLastFailure().GetMessage()
	}
	return attempt, failure
}

// requireRetryRecorded requires that the ledger contains the reason of a retry. On a slow
// machine there may be other reasons, too.
func requireRetryRecorded(t *testing.T, h *sandbox.Cluster, fileUUID, reason string) {
	t.Helper()
	var reasons []string
	for _, e := range h.Events(t, fileUUID) {
		if message, ok := e.Details["message"].(string); ok && e.Type == ingest.EventRetryScheduled {
			reasons = append(reasons, message)
		}
	}
	require.Contains(t, strings.Join(reasons, "\n"), reason, "the ledger lacks the reason of the wait")
}

// waitsFor matches files that wait for a reason with the text. On a slow machine a file
// may wait for another reason first.
func waitsFor(text string) func(ingest.File) bool {
	return func(f ingest.File) bool { return strings.Contains(f.ErrorMessage, text) }
}

// await waits for a value from the channel or for its end.
func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(sandbox.Timeout):
		t.Fatal(what)
	}
}
