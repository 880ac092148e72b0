package activities_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// shortTimeout is a stall timeout that the slow steps below exceed by far, while each of their
// answers takes a small part of it.
const shortTimeout = 10 * time.Second

// addLatency puts a proxy with a round trip of 60 ms before the bench's server.
func (b *bench) addLatency(t *testing.T) {
	t.Helper()
	b.proxy(t).AddToxic(t, "latency", map[string]int{"latency": 60})
	b.acts.StallTimeout = shortTimeout
}

// proxy puts a proxy before the bench's server.
func (b *bench) proxy(t *testing.T) *sandbox.Proxy {
	t.Helper()
	proxy := sandbox.NewProxy(t, b.server.Host, b.server.Port)
	b.server = b.Edit(t, b.server.UUID, func(s *ingest.Server) { s.Port = proxy.Port })
	return proxy
}

// TestAListingOfEmptyFoldersIsNoStall: it has no entries to record, but makes progress.
func TestAListingOfEmptyFoldersIsNoStall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 120 {
		require.NoError(t, os.MkdirAll(b.sshd.Path(fmt.Sprintf("day-%03d", i)), 0o755))
	}
	b.addLatency(t)
	began := time.Now()
	require.Empty(t, b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID}))
	assert.Greater(t, time.Since(began), shortTimeout, "the connection is too fast for this test")
}

// TestALargeFolderIsNoStall: the folder is read completely before its first entry is recorded.
func TestALargeFolderIsNoStall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const names = 25_000 // at most 100 per answer
	for i := range names {
		require.NoError(t, os.Symlink("nowhere", b.sshd.Path(fmt.Sprintf("%05d", i))))
	}
	_, err := b.Store.EditServer(b.Context(t), b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.Exclude = []string{"*"}
		return s, nil
	})
	require.NoError(t, err)
	b.addLatency(t)
	began := time.Now()
	require.Empty(t, b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID}))
	assert.Greater(t, time.Since(began), shortTimeout, "the connection is too fast for this test")
}

func TestARecheckOfManyFilesIsNoStall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var seen []ingest.Observation
	for i := range 400 { // less than a page, so that the end of a page does not count
		name := fmt.Sprintf("%03d.csv", i)
		b.sshd.Write(t, name, []byte("x"))
		seen = append(seen, ingest.Observation{Path: b.sshd.Path(name), Size: 7})
	}
	_, err := b.Store.Observe(b.Context(t), b.server.UUID, "manual", seen)
	require.NoError(t, err)
	b.addLatency(t)
	began := time.Now()
	require.Empty(t, b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	assert.Greater(t, time.Since(began), shortTimeout, "the connection is too fast for this test")
}

// withStoreProxy returns a bench whose object store is behind a proxy.
func withStoreProxy(t *testing.T) (*bench, *sandbox.Proxy) {
	t.Helper()
	box := sandbox.New(t)
	host, text, err := net.SplitHostPort(box.Cfg.S3.Endpoint)
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	proxy := sandbox.NewProxy(t, host, port)
	box.Cfg.S3.Endpoint = proxy.Address()
	return newBenchOf(t, box), proxy
}

// TestASlowStoreIsNoStall: bytes are sent continuously, but it takes long until the first part
// is stored.
func TestASlowStoreIsNoStall(t *testing.T) {
	t.Parallel()
	b, proxy := withStoreProxy(t)
	f := b.ready(t, "large.bin", sandbox.Random(32<<20)) // two parts
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))

	proxy.AddToxicUp(t, "bandwidth", map[string]int{"rate": 700})
	b.acts.StallTimeout = shortTimeout
	began := time.Now()
	require.Empty(t, b.upload(t, f))
	assert.Greater(t, time.Since(began), 2*shortTimeout, "the connection is too fast for this test")
	assert.Equal(t, ingest.StatusUploaded, b.status(t, f))
}

// TestASilentServerIsReported: the error fits the step.
func TestASilentServerIsReported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.proxy(t).AddToxic(t, "timeout", map[string]int{"timeout": 0})
	b.acts.StallTimeout = time.Millisecond
	_, err := b.env.ExecuteActivity(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID})
	require.ErrorContains(t, err, "server acme did not respond for 1ms")
	_, err = b.env.ExecuteActivity(activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID})
	require.ErrorContains(t, err, "server acme did not respond for 1ms")
}

// nextDelay runs a failing step and returns the requested delay of the next attempt; 0 leaves
// it to the retry policy.
func (b *bench) nextDelay(t *testing.T, name string, in any) time.Duration {
	t.Helper()
	_, err := b.env.ExecuteActivity(name, in)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(ingest.KindTransient), app.Type(), "%v", err)
	return app.NextRetryDelay()
}

// TestADownloadWithProgressIsRetriedSoon: on a connection that often breaks, delays must not
// increase.
func TestADownloadWithProgressIsRetriedSoon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "large.bin", sandbox.Random(8<<20))
	proxy := b.proxy(t)
	proxy.AddToxic(t, "limit_data", map[string]int{"bytes": 3 << 20})
	in := activities.DownloadInput{FileUUID: f.UUID}
	assert.Equal(t, time.Second, b.nextDelay(t, activities.NameDownload, in))
	assert.Equal(t, time.Second, b.nextDelay(t, activities.NameDownload, in), "progress since the checkpoint")
	proxy.Cut()
	assert.Zero(t, b.nextDelay(t, activities.NameDownload, in), "no byte arrived")
	proxy.Restore(t)
	proxy.RemoveToxic(t, "limit_data") // how much each attempt kept depends on the machine
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
}

func TestAnUploadWithProgressIsRetriedSoon(t *testing.T) {
	t.Parallel()
	b, proxy := withStoreProxy(t)
	f := b.ready(t, "large.bin", sandbox.Random(17<<20)) // a large part and a small one
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
	proxy.AddToxicUp(t, "limit_data", map[string]int{"bytes": 3 << 20})
	in := activities.UploadInput{FileUUID: f.UUID}
	assert.Equal(t, time.Second, b.nextDelay(t, activities.NameUpload, in), "the small part is stored")
	assert.Zero(t, b.nextDelay(t, activities.NameUpload, in), "the large one is interrupted each time")
	proxy.RemoveToxic(t, "limit_data")
	require.Empty(t, b.upload(t, f))
}
