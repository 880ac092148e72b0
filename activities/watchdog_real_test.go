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

// impatience is a watchdog's patience that the slow steps below outlast by far,
// while each of their answers comes in a small part of it.
const impatience = 10 * time.Second

// far puts a line with a round trip of 60 ms before the bench's server.
func (b *bench) far() {
	b.T.Helper()
	b.behind().AddToxic("latency", map[string]int{"latency": 60})
	b.acts.NoProgress = impatience
}

// behind puts a line before the bench's server.
func (b *bench) behind() *sandbox.Proxy {
	b.T.Helper()
	line := sandbox.NewProxy(b.T, b.server.Host, b.server.Port)
	b.server = b.Edit(b.server.UUID, func(s *ingest.Server) { s.Port = line.Port })
	return line
}

// TestAListingOfEmptyFoldersIsNoSilence: dated folders that were emptied long
// ago show no entry to be recorded, and the listing goes on all the same.
func TestAListingOfEmptyFoldersIsNoSilence(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 120 {
		require.NoError(t, os.MkdirAll(b.sshd.Path(fmt.Sprintf("day-%03d", i)), 0o755))
	}
	b.far()
	began := time.Now()
	require.Empty(t, b.run(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID}))
	assert.Greater(t, time.Since(began), impatience, "the line is too good for this test")
}

// TestALargeFolderIsNoSilence: one folder is read whole before its first entry
// is recorded.
func TestALargeFolderIsNoSilence(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const names = 25_000 // at most a hundred an answer
	for i := range names {
		require.NoError(t, os.Symlink("nowhere", b.sshd.Path(fmt.Sprintf("%05d", i))))
	}
	_, err := b.Store.EditServer(b.Ctx, b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.Exclude = []string{"*"}
		return s, nil
	})
	require.NoError(t, err)
	b.far()
	began := time.Now()
	require.Empty(t, b.run(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID}))
	assert.Greater(t, time.Since(began), impatience, "the line is too good for this test")
}

func TestALookAtManySettlingFilesIsNoSilence(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var seen []ingest.Observation
	for i := range 400 { // less than a page, so that no page's end can help
		name := fmt.Sprintf("%03d.csv", i)
		b.sshd.Write(name, []byte("x"))
		seen = append(seen, ingest.Observation{Path: b.sshd.Path(name), Size: 7})
	}
	_, err := b.Store.Observe(b.Ctx, b.server.UUID, "manual", seen)
	require.NoError(t, err)
	b.far()
	began := time.Now()
	require.Empty(t, b.run(activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	assert.Greater(t, time.Since(began), impatience, "the line is too good for this test")
}

// withStoreLine is a bench whose object store is behind a line.
func withStoreLine(t *testing.T) (*bench, *sandbox.Proxy) {
	t.Helper()
	world := sandbox.New(t)
	host, text, err := net.SplitHostPort(world.Cfg.S3.Endpoint)
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	line := sandbox.NewProxy(t, host, port)
	world.Cfg.S3.Endpoint = line.Address()
	return newBenchOf(t, world), line
}

// TestASlowStoreIsNoSilence: bytes go out all the time, although it takes long
// until the first part of them is safe.
func TestASlowStoreIsNoSilence(t *testing.T) {
	t.Parallel()
	b, line := withStoreLine(t)
	f := b.ready("large.bin", sandbox.Random(32<<20)) // two parts, side by side
	require.Empty(t, b.download(f))
	require.Empty(t, b.verify(f))

	line.AddToxicUp("bandwidth", map[string]int{"rate": 700})
	b.acts.NoProgress = impatience
	began := time.Now()
	require.Empty(t, b.upload(f))
	assert.Greater(t, time.Since(began), 2*impatience, "the line is too good for this test")
	assert.Equal(t, ingest.StatusUploaded, b.status(f))
}

// TestASilentServerIsSaidSo: what the watchdog says fits the step.
func TestASilentServerIsSaidSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.behind().AddToxic("timeout", map[string]int{"timeout": 0})
	b.acts.NoProgress = time.Millisecond
	_, err := b.env.ExecuteActivity(activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID})
	require.ErrorContains(t, err, "server acme did not respond for 1ms")
	_, err = b.env.ExecuteActivity(activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID})
	require.ErrorContains(t, err, "server acme did not respond for 1ms")
}

// nextDelay runs a step that fails and returns how soon it asks to be tried
// again; 0 leaves that to the policy.
func (b *bench) nextDelay(name string, in any) time.Duration {
	b.T.Helper()
	_, err := b.env.ExecuteActivity(name, in)
	var app *temporal.ApplicationError
	require.ErrorAs(b.T, err, &app)
	require.Equal(b.T, string(ingest.KindTransient), app.Type(), "%v", err)
	return app.NextRetryDelay()
}

// TestADownloadThatGotFurtherIsTriedAtOnce: a line that breaks after every few
// MiB must not make the waits between attempts longer and longer.
func TestADownloadThatGotFurtherIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready("large.bin", sandbox.Random(8<<20))
	line := b.behind()
	line.AddToxic("limit_data", map[string]int{"bytes": 3 << 20})
	in := activities.DownloadInput{FileUUID: f.UUID}
	assert.Equal(t, time.Second, b.nextDelay(activities.NameDownload, in))
	assert.Equal(t, time.Second, b.nextDelay(activities.NameDownload, in), "further than the checkpoint")
	line.Cut()
	assert.Zero(t, b.nextDelay(activities.NameDownload, in), "nothing came")
	line.Restore()
	line.RemoveToxic("limit_data") // how much each attempt kept depends on the machine
	require.Empty(t, b.download(f))
	require.Empty(t, b.verify(f))
}

func TestAnUploadThatGotFurtherIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	b, line := withStoreLine(t)
	f := b.ready("large.bin", sandbox.Random(17<<20)) // a large part and a small one
	require.Empty(t, b.download(f))
	require.Empty(t, b.verify(f))
	line.AddToxicUp("limit_data", map[string]int{"bytes": 3 << 20})
	in := activities.UploadInput{FileUUID: f.UUID}
	assert.Equal(t, time.Second, b.nextDelay(activities.NameUpload, in), "the small part is safe")
	assert.Zero(t, b.nextDelay(activities.NameUpload, in), "the large one does not get through")
	line.RemoveToxic("limit_data")
	require.Empty(t, b.upload(f))
}
