package activities_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/worker"
)

// bench runs single activities with real adapters and services.
type bench struct {
	*sandbox.Sandbox
	acts   *activities.Activities
	env    *testsuite.TestActivityEnvironment
	sshd   *services.SSHD
	server ingest.Server
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOf(t, sandbox.New(t))
}

// newBenchOf is newBench for a sandbox with changed settings.
func newBenchOf(t *testing.T, box *sandbox.Sandbox) *bench {
	t.Helper()
	b := &bench{Sandbox: box}
	b.sshd = services.StartSSHD(t, services.SSHDOptions{})
	b.server = b.Register(t, b.sshd, "acme", func(s *ingest.Server) { s.Settle = 0 })
	temporalClient, _ := services.Temporal(t)
	acts, closeAll, err := worker.Activities(b.Context(t), b.Cfg, temporalClient, temporalnames.TaskQueue, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(closeAll)
	acts.TryLimit = sandbox.Timeout
	b.acts = acts
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	b.env = suite.NewTestActivityEnvironment()
	for name, fn := range acts.Registered() {
		b.env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	return b
}

// run runs an activity and returns the type of its error; empty if it succeeds.
func (b *bench) run(t *testing.T, name string, in any) string {
	t.Helper()
	_, err := b.env.ExecuteActivity(name, in)
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	require.NoError(t, err)
	return ""
}

// ready writes a file and lists the server, after which the file is ready.
func (b *bench) ready(t *testing.T, name string, content []byte) ingest.File {
	t.Helper()
	b.sshd.Write(t, name, content)
	require.Empty(t, b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID, Source: "manual"}))
	return b.File(t, b.sshd.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
}

func (b *bench) status(t *testing.T, f ingest.File) ingest.Status {
	t.Helper()
	now, err := b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	return now.Status
}

func (b *bench) staged(f ingest.File) string {
	return filepath.Join(b.Cfg.Staging.Dir, "files", f.UUID, "data")
}

func (b *bench) download(t *testing.T, f ingest.File) string {
	return b.run(t, activities.NameDownload, activities.DownloadInput{FileUUID: f.UUID})
}

func (b *bench) verify(t *testing.T, f ingest.File) string {
	return b.run(t, activities.NameVerifyHash, activities.VerifyHashInput{
		FileUUID: f.UUID, HostQueue: temporalnames.HostQueue(b.acts.Staging.HostID()),
	})
}

func (b *bench) upload(t *testing.T, f ingest.File) string {
	return b.run(t, activities.NameUpload, activities.UploadInput{FileUUID: f.UUID})
}

func (b *bench) notify(t *testing.T, f ingest.File) string {
	return b.run(t, activities.NameNotify, activities.NotifyInput{FileUUID: f.UUID})
}

// TestStepsAreIdempotent runs every step again after it has succeeded, as Temporal does when
// a result is lost.
func TestStepsAreIdempotent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.csv", sandbox.Random(1000))
	for _, step := range []func(*testing.T, ingest.File) string{b.download, b.verify, b.upload, b.notify} {
		require.Empty(t, step(t, f))
		require.Empty(t, step(t, f))
	}
	// A restarted workflow of a completed file changes nothing.
	for _, step := range []func(*testing.T, ingest.File) string{b.download, b.verify, b.upload, b.notify} {
		require.Empty(t, step(t, f))
	}
	assert.Equal(t, ingest.StatusCompleted, b.status(t, f))
	assert.Len(t, b.AMQP.Messages(t), 1)
	assert.Len(t, b.S3.Objects(t), 1)
	assert.NoFileExists(t, b.staged(f))
	events := b.Events(t, f.UUID)
	assert.Len(t, events, 8, "no duplicate events")
	keys := map[ingest.EventType][]string{}
	for _, e := range events {
		keys[e.Type] = slices.Sorted(maps.Keys(e.Details))
	}
	// Consumers outside this repository read these; they never change.
	for event, want := range map[string][]string{
		"discovered": {"path", "source"}, "download_started": {"server"}, "downloaded": {"duration_sec", "size_mb", "temp_path"},
		"minio_upload_start": {"target_bucket", "target_key"}, "minio_uploaded": {"bucket", "etag", "key"},
		"amqp_notify_sent": {"message_id", "queue"},
	} {
		assert.Equal(t, want, keys[ingest.EventType(event)], event)
	}
}

func TestDownloadRefusesAnotherVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	grown, gone := b.ready(t, "grown.csv", sandbox.Random(1000)), b.ready(t, "gone.csv", sandbox.Random(1000))
	b.sshd.Write(t, "grown.csv", sandbox.Random(2000))
	assert.Equal(t, string(ingest.KindChanged), b.download(t, grown))
	require.NoError(t, os.Remove(b.sshd.Path("gone.csv")))
	assert.Equal(t, string(ingest.KindNotFound), b.download(t, gone))
	assert.Equal(t, ingest.StatusDownloading, b.status(t, gone), "the workflow closes it")
}

func TestABitFlippedInStagingIsFetchedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := sandbox.Random(5000)
	f := b.ready(t, "a.bin", content)
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
	flip(t, b.staged(f))
	assert.Equal(t, string(ingest.KindHashMismatch), b.upload(t, f))
	assert.NoFileExists(t, b.staged(f), "damaged bytes are never resumed from")
	assert.Empty(t, b.S3.Objects(t))
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
	require.Empty(t, b.upload(t, f))
	assert.Equal(t, sandbox.Digest(content), b.S3.Objects(t)[0].SHA256)
}

// flip changes one bit of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

func TestLostStagingIsReported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.Empty(t, b.download(t, f))
	require.NoError(t, os.RemoveAll(filepath.Dir(b.staged(f))))
	require.Empty(t, b.verify(t, f))
	assert.Equal(t, string(ingest.KindStagingLost), b.upload(t, f))
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
}

// overtakenLedger lets another attempt claim the file between a step's own claim and its
// first write, as after a long pause of the worker.
type overtakenLedger struct {
	activities.Ledger
	overtake func()
}

func (z overtakenLedger) Claim(ctx context.Context, uuid string) (ingest.File, error) {
	f, err := z.Ledger.Claim(ctx, uuid)
	z.overtake()
	return f, err
}

func TestAFencedAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(5000))
	require.Empty(t, b.download(t, f))
	require.Empty(t, b.verify(t, f))
	ledger := b.acts.Ledger
	b.acts.Ledger = overtakenLedger{Ledger: ledger, overtake: func() {
		_, err := ledger.Claim(b.Context(t), f.UUID)
		require.NoError(t, err)
	}}
	assert.Equal(t, string(ingest.KindFenced), b.upload(t, f))
	b.acts.Ledger = ledger
	assert.Equal(t, ingest.StatusVerified, b.status(t, f))
	assert.Empty(t, b.S3.Objects(t))
	require.Empty(t, b.upload(t, f))
}

// TestOnlyTheHostReadsStagedBytesAgain: a checksum by another algorithm needs them; the
// SHA-256 was computed during the download.
func TestOnlyTheHostReadsStagedBytesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := sandbox.Random(1000)
	sum := md5.Sum(content)
	b.sshd.Write(t, "a.bin.md5", []byte(hex.EncodeToString(sum[:])+"  a.bin\n"))
	b.sshd.Write(t, "b.bin.sha256", []byte(sandbox.Digest(content)+"  b.bin\n"))
	elsewhere := func(f ingest.File) string {
		return b.run(t, activities.NameVerifyHash, activities.VerifyHashInput{FileUUID: f.UUID, HostQueue: "stevedore-host-other"})
	}
	other, same := b.ready(t, "a.bin", content), b.ready(t, "b.bin", content)
	require.Empty(t, b.download(t, other))
	assert.Equal(t, activities.TypeOtherHost, elsewhere(other))
	assert.Equal(t, ingest.StatusDownloaded, b.status(t, other))
	require.Empty(t, b.verify(t, other))
	require.Empty(t, b.download(t, same))
	require.Empty(t, elsewhere(same))
	assert.Equal(t, "b.bin.sha256", sandbox.Detail(b.Events(t, same.UUID), ingest.EventVerified, "source"))
}

func TestFailureAndResumeAreRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	f := b.ready(t, "a.bin", sandbox.Random(10))
	why := activities.RecordFailureInput{FileUUID: f.UUID, Step: ingest.StepDownload, Kind: ingest.KindPermission, Message: "not allowed"}
	for range 2 {
		require.Empty(t, b.run(t, activities.NameRecordFailure, why))
	}
	assert.Equal(t, ingest.StatusError, b.status(t, f))
	resume := activities.ResumeFileInput{
		FileUUID: f.UUID, Action: ingest.ActionRetry, From: ingest.StepDownload, Actor: "ann", Reason: "allowed now", Key: "run/1",
	}
	for range 2 {
		require.Empty(t, b.run(t, activities.NameResumeFile, resume))
	}
	now, err := b.Store.File(b.Context(t), f.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.StatusReady, now.Status)
	assert.Equal(t, 1, now.Round)
	assert.Empty(t, now.ErrorMessage)
	var types []ingest.EventType
	for _, e := range b.Events(t, f.UUID) {
		types = append(types, e.Type)
	}
	assert.Equal(t, []ingest.EventType{ingest.EventDiscovered, ingest.EventSettled, ingest.EventError, ingest.EventOperatorAction}, types)
}

func TestASettlingFileVanishes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.Store.Observe(b.Context(t), b.server.UUID, "manual", []ingest.Observation{{Path: b.sshd.Path("never.csv"), Size: 1}})
	require.NoError(t, err)
	require.Empty(t, b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
	b.File(t, b.sshd.Path("never.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusVanished })
}

// TestARefusalWhileFilesSettleSuspends: a refused login suspends the server. If an attempt
// could not record the refusal, the next one reports it without another login.
func TestARefusalWhileFilesSettleSuspends(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.Store.Observe(b.Context(t), b.server.UUID, "manual", []ingest.Observation{{Path: b.sshd.Path("a.csv"), Size: 1}})
	require.NoError(t, err)
	b.sshd.RotateHostKey(t)
	in := activities.RecheckSettlingInput{ServerUUID: b.server.UUID}
	require.Equal(t, string(ingest.KindHostKey), b.run(t, activities.NameRecheckSettling, in))
	now, err := b.Store.Server(b.Context(t), b.server.UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.ServerSuspended, now.State)

	b.sshd.Stop(t) // from here on a login fails with another kind
	b.env.SetHeartbeatDetails(activities.Progress{Refused: &ingest.Failure{Kind: ingest.KindHostKey, Message: "another key"}})
	require.Equal(t, string(ingest.KindHostKey), b.run(t, activities.NameRecheckSettling, in))
	require.Equal(t, string(ingest.KindHostKey), b.run(t, activities.NameListServerFiles, activities.ListServerFilesInput{ServerUUID: b.server.UUID}))
}
