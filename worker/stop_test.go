package worker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
)

// listings calls begun when a listing begins.
type listings struct {
	activities.Sources
	begun func()
}

func (l listings) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := l.Sources.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	return listingSource{source, l.begun}, nil
}

type listingSource struct {
	activities.Source
	begun func()
}

func (s listingSource) List(ctx context.Context, request ingest.ListRequest, fn func(ingest.Observation) error) (ingest.Unread, error) {
	s.begun()
	return s.Source.List(ctx, request, fn)
}

// TestAStoppedListingIsHandedOff: the listing ends immediately without counting as a
// failure, and another worker lists again with all attempts left.
func TestAStoppedListingIsHandedOff(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	var line *sandbox.Proxy
	acme := h.AddServer(t, "acme", func(s *ingest.Server) {
		line = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port = line.Port
	})
	for i := range 300 {
		require.NoError(t, os.MkdirAll(acme.Path(fmt.Sprintf("%03d", i)), 0o755))
	}
	acme.Write(t, "a.csv", sandbox.Random(100))
	line.AddToxic(t, "latency", map[string]int{"latency": 100}) // the listing takes two minutes at least
	begun := make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	var times atomic.Int64
	second := func() { // the first listing is tried within the workflow task
		if times.Add(1) > 1 {
			once()
		}
	}
	cfg := h.Cfg
	cfg.Worker.StopTimeout = time.Minute
	stop := h.StartWorkerWith(t, cfg, func(d activities.Deps) activities.Deps {
		d.Sources = listings{d.Sources, second}
		return d
	})
	scan := h.Scan(t)
	select {
	case <-begun:
	case <-h.Context(t).Done():
		t.Fatal("nothing was listed")
	}
	began := time.Now()
	stop()
	assert.Less(t, time.Since(began), 30*time.Second, "the stop does not wait for the timeout")
	line.RemoveToxic(t, "latency")
	server, err := h.Store.ServerByName(h.Context(t), "acme")
	require.NoError(t, err)
	assert.Empty(t, server.LastError, "a shutdown is not an error of the server")
	stopped := h.LatestScan(t, server.UUID)
	assert.NotZero(t, stopped.FinishedAt)

	h.StartWorker(t)
	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
	failures, attempts := 0, int32(0)
	history := h.Temporal.GetWorkflowHistory(h.Context(t), temporalnames.DiscoverWorkflowID(server.UUID), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if event.GetActivityTaskFailedEventAttributes().GetFailure().GetApplicationFailureInfo().GetType() == activities.TypeStopped {
			failures++
		}
		attempts = max(attempts, event.GetActivityTaskStartedEventAttributes().GetAttempt())
	}
	assert.Equal(t, 1, failures)
	assert.EqualValues(t, 1, attempts, "no attempt is used up")
}

// storing calls stored with the request whenever a part of an upload is stored.
type storing struct {
	activities.Objects
	stored func(ingest.Put)
}

func (s storing) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	next := req.Stored
	req.Stored = func() { next(); s.stored(req) }
	return s.Objects.Put(ctx, req)
}

// TestAStoppedUploadIsHandedOff: stored parts are kept, and no part is sent twice.
func TestAStoppedUploadIsHandedOff(t *testing.T) {
	t.Parallel()
	const parts = 6 // of 16 MiB, three at a time
	h := newCluster(t)
	host, text, err := net.SplitHostPort(h.S3.Endpoint)
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	line := sandbox.NewProxy(t, host, port)
	h.Cfg.S3.Endpoint = line.Address()
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "large.bin", sandbox.Random(parts*16<<20))
	line.AddToxicUp(t, "bandwidth", map[string]int{"rate": 2 << 10})
	var stored atomic.Int64
	begun, stopped := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	watching := func(d activities.Deps) activities.Deps {
		d.Objects = storing{d.Objects, func(put ingest.Put) {
			stored.Add(1)
			once()
			select { // hold this slot, so that no further part starts before the stop
			case <-put.Stop:
			case <-stopped:
			}
		}}
		return d
	}
	cfg := h.Cfg
	cfg.Worker.StopTimeout = time.Minute
	stop := h.StartWorkerWith(t, cfg, watching)
	scan := h.Scan(t)
	select {
	case <-begun:
	case <-h.Context(t).Done():
		t.Fatal("no part was stored")
	}
	began := time.Now()
	stop()
	assert.Less(t, time.Since(began), 50*time.Second, "the stop does not wait for the timeout")
	close(stopped)
	assert.Less(t, stored.Load(), int64(parts), "the transfer was stopped in the middle")
	file := h.File(t, acme.Path("large.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading })
	described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(file.UUID), "")
	require.NoError(t, err)
	require.Len(t, described.GetPendingActivities(), 1)
	assert.Equal(t, activities.TypeStopped, described.GetPendingActivities()[0].GetLastFailure().GetApplicationFailureInfo().GetType())

	line.RemoveToxic(t, "bandwidth")
	h.StartWorkerWith(t, h.Cfg, watching)
	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
	assert.LessOrEqual(t, stored.Load(), int64(parts), "no part was sent twice")
}
