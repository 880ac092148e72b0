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
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
)

// tick is the polling interval of tests.
const tick = 20 * time.Millisecond

// hooks are called at exact points of a file's steps inside the worker; nil ones do
// nothing.
type hooks struct {
	afterFetch    func(ingest.Staged)
	beforePut     func(ingest.Put)
	afterPut      func(ingest.Put)
	beforePublish func()
	// finishScan may return an error instead of writing to the database.
	finishScan func() error
	// dueServers is called before a scan of all servers reads the due ones.
	dueServers func()
	// beforeRecheck is called before the result of a second look at settling files is
	// written, and so before any of them has settled.
	beforeRecheck func()
}

// wrap adds the hooks to a worker's dependencies, see sandbox.StartWorkerWith.
func (fns hooks) wrap(d activities.Deps) activities.Deps {
	d.Staging = hookedStaging{d.Staging, fns}
	d.Objects = hookedObjects{d.Objects, fns}
	d.Publisher = hookedPublisher{d.Publisher, fns}
	d.Catalog = hookedCatalog{d.Catalog, fns}
	return d
}

type hookedCatalog struct {
	activities.Catalog
	hooks hooks
}

func (c hookedCatalog) DueServers(ctx context.Context, q ingest.DueQuery) ([]ingest.Server, error) {
	if c.hooks.dueServers != nil {
		c.hooks.dueServers()
	}
	return c.Catalog.DueServers(ctx, q)
}

func (c hookedCatalog) Observe(ctx context.Context, server, source string, seen []ingest.Observation) (ingest.ScanCounts, error) {
	if c.hooks.beforeRecheck != nil && source == "recheck" {
		c.hooks.beforeRecheck()
	}
	return c.Catalog.Observe(ctx, server, source, seen)
}

func (c hookedCatalog) FinishScan(ctx context.Context, scan ingest.ScanResult) error {
	if c.hooks.finishScan != nil {
		if err := c.hooks.finishScan(); err != nil {
			return err
		}
	}
	return c.Catalog.FinishScan(ctx, scan)
}

type hookedStaging struct {
	activities.Staging
	hooks hooks
}

func (s hookedStaging) Fetch(ctx context.Context, req ingest.Fetch) (ingest.Staged, error) {
	staged, err := s.Staging.Fetch(ctx, req)
	if err == nil && s.hooks.afterFetch != nil {
		s.hooks.afterFetch(staged)
	}
	return staged, err
}

type hookedObjects struct {
	activities.Objects
	hooks hooks
}

func (o hookedObjects) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	if o.hooks.beforePut != nil {
		o.hooks.beforePut(req)
	}
	object, err := o.Objects.Put(ctx, req)
	if err == nil && o.hooks.afterPut != nil {
		o.hooks.afterPut(req)
	}
	return object, err
}

func (o hookedObjects) PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	put := ingest.Put{Key: req.Key, Size: int64(len(req.Body)), SHA256: req.SHA256, Metadata: req.Metadata}
	if o.hooks.beforePut != nil {
		o.hooks.beforePut(put)
	}
	object, err := o.Objects.PutBytes(ctx, req)
	if err == nil && o.hooks.afterPut != nil {
		o.hooks.afterPut(put)
	}
	return object, err
}

type hookedPublisher struct {
	activities.Publisher
	hooks hooks
}

func (a hookedPublisher) Publish(ctx context.Context, message ingest.Notification) (ingest.Receipt, error) {
	if a.hooks.beforePublish != nil {
		a.hooks.beforePublish()
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
	described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "")
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
	require.Contains(t, strings.Join(reasons, "\n"), reason, "the ledger lacks the reason of the retry")
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
