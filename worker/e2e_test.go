package worker_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/testenv"
	"stevedore/workflows"
)

// random returns n bytes that compress badly and repeat between runs.
func random(n int) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(content)
	return content
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// TestEverythingArrivesExactlyOnce has the demo's cases, and a second scan.
func TestEverythingArrivesExactlyOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme, globex := r.addServer("acme", nil), r.addServer("globex", nil)
	acme.Write("orders.csv", random(48_213))
	acme.Write("empty.flag", nil)
	acme.Write("nested/deep/deeper/report.xml", random(9_001))
	acme.Write("north/daily.csv", random(1_200))
	acme.Write("south/daily.csv", random(1_200)) // the same bytes under the same name are two files
	acme.Write("large.bin", random(70<<20))
	acme.Write("signed/payments.dat", random(700_000))
	acme.Write("signed/payments.dat.sha256", []byte(digest(random(700_000))+"  payments.dat\n"))
	globex.Write("Отчёты/итоги за ноябрь.txt", random(20_480))
	globex.Write("with spaces/my file (final) v2.pdf", random(333_333))
	globex.Write("not utf-8 \xff\xfe.bin", random(10))
	globex.Write("daily.csv", random(1_300))

	r.scanAndWait()

	r.requireExactlyOnce()
	signed := r.file(acme.Path("signed/payments.dat"), func(ingest.File) bool { return true })
	assert.Equal(t, "payments.dat.sha256", detail(r.events(signed.UUID), ingest.EventVerified, "source"))

	r.record("file_ingest", ingest.IngestWorkflowID(signed.UUID))
	large := r.file(acme.Path("large.bin"), func(ingest.File) bool { return true })
	r.record("file_ingest_large", ingest.IngestWorkflowID(large.UUID))
	r.record("discover_files", ingest.DiscoverWorkflowID(large.ServerUUID))

	before := r.files()
	r.scanAndWait()
	assert.Equal(t, before, r.files(), "a second scan changes nothing")
	assert.Empty(t, r.amqp.Messages(t), "and announces nothing")
}

func detail(events []ingest.StoredEvent, of ingest.EventType, key string) any {
	for _, e := range events {
		if e.Type == of {
			return e.Details[key]
		}
	}
	return nil
}

func TestAFileIsTakenOnlyOnceWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme := r.addServer("acme", nil)
	acme.Write("growing.log", random(1000))
	scan := r.scan()
	first := r.file(acme.Path("growing.log"), func(f ingest.File) bool { return f.Status == ingest.StatusDiscovered })

	grown := random(5000)
	acme.Write("growing.log", grown)
	r.awaitScans(scan)

	r.requireExactlyOnce()
	file := r.file(acme.Path("growing.log"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	assert.Equal(t, first.UUID, file.UUID, "what grows while it settles is one version")
	assert.Equal(t, digest(grown), file.Hash)
	assert.Len(t, r.files(), 1)
}

// TestNewContentUnderAnOldNameIsAnotherVersion: deduplication by path alone
// would lose it.
func TestNewContentUnderAnOldNameIsAnotherVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme := r.addServer("acme", nil)
	acme.Write("daily.csv", random(100))
	r.scanAndWait()
	acme.Write("daily.csv", random(101))
	r.scanAndWait()
	files := r.files()
	require.Len(t, files, 2)
	for _, f := range files {
		assert.Equal(t, ingest.StatusCompleted, f.Status)
	}
	assert.Len(t, r.s3.Objects(t), 2, "the old version is kept")
}

// TestAParkedFileWaitsForAnOperator also shows that it gives its place in the
// server's window away.
func TestAParkedFileWaitsForAnOperator(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme := r.addServer("acme", func(s *ingest.Server) { s.MaxParallel = 1 })
	bad := random(3000)
	acme.Write("a-bad.dat", bad)
	acme.Write("a-bad.dat.sha256", []byte(digest([]byte("something else"))+"  a-bad.dat\n"))
	for _, name := range []string{"b.dat", "c.dat", "d.dat"} {
		acme.Write(name, random(2000))
	}
	r.scan()
	parked := r.file(acme.Path("a-bad.dat"), func(f ingest.File) bool { return f.Status == ingest.StatusError })
	assert.Equal(t, ingest.KindHashMismatch, parked.ErrorKind)
	assert.Contains(t, parked.ErrorMessage, "a-bad.dat.sha256")
	for _, name := range []string{"b.dat", "c.dat", "d.dat"} {
		r.file(acme.Path(name), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	}

	id := ingest.IngestWorkflowID(parked.UUID)
	value, err := r.temporal.QueryWorkflow(r.ctx, id, "", workflows.QueryStatus)
	require.NoError(t, err)
	var status workflows.IngestStatus
	require.NoError(t, value.Get(&status))
	require.NotNil(t, status.Parked)

	acme.Write("a-bad.dat.sha256", []byte(digest(bad)+"  a-bad.dat\n"))
	update, err := r.temporal.UpdateWorkflow(r.ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: workflows.UpdateRetry, WaitForStage: client.WorkflowUpdateStageCompleted,
		Args: []any{workflows.Decision{From: ingest.StepDownload, Actor: "ann", Reason: "partner sent a new checksum"}},
	})
	require.NoError(t, err)
	require.NoError(t, update.Get(r.ctx, nil))
	r.file(acme.Path("a-bad.dat"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	assert.Equal(t, "ann", detail(r.events(parked.UUID), ingest.EventOperatorAction, "actor"))
	require.NoError(t, r.temporal.GetWorkflow(r.ctx, id, "").Get(r.ctx, nil))
	r.requireExactlyOnce()
	r.record("file_ingest_parked", id)
	r.record("discover_files_parked", ingest.DiscoverWorkflowID(parked.ServerUUID))
}

// TestABadServerDelaysNobody has every way a server can be wrong at once.
func TestABadServerDelaysNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	good := r.addServer("good", nil)
	good.Write("a.csv", random(100))

	locked := testenv.StartSSHD(t, testenv.SSHDOptions{Password: "right"})
	wrongPassword := r.register(locked, "wrong-password", func(s *ingest.Server) {
		s.PasswordEncrypted = r.seal(s.UUID, "password", []byte("wrong"))
	})
	rekeyed := testenv.StartSSHD(t, testenv.SSHDOptions{})
	changedKey := r.register(rekeyed, "changed-key", nil)
	rekeyed.RotateHostKey()
	unpinned := r.register(rekeyed, "unpinned", func(s *ingest.Server) { s.HostKeys = nil })
	gone := testenv.StartSSHD(t, testenv.SSHDOptions{})
	dead := r.register(gone, "dead", nil)
	gone.Kill()

	summary := r.scan()
	require.Equal(t, 5, summary.Started)
	r.record("scan_all_servers", r.lastScan)
	r.file(good.Path("a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	r.awaitScans(summary)

	for _, c := range []struct {
		server ingest.Server
		state  ingest.ServerState
		says   string
	}{
		{wrongPassword, ingest.ServerSuspended, "refused"},
		{changedKey, ingest.ServerSuspended, "SHA256:"},
		{unpinned, ingest.ServerSuspended, "server test"},
		{dead, ingest.ServerOK, "127.0.0.1"},
	} {
		now, err := r.store.Server(r.ctx, c.server.UUID)
		require.NoError(t, err)
		assert.Equal(t, c.state, now.State, c.server.Name)
		assert.Contains(t, now.LastError, c.says, c.server.Name)
		assert.NotContains(t, now.LastError, "\n")
	}
}

func TestAMissingBucketIsWaitedForVisibly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme := r.addServer("acme", nil)
	acme.Write("a.csv", random(100))
	require.NoError(t, r.s3.Core.RemoveBucket(r.ctx, r.s3.Bucket))

	scan := r.scan()
	waiting := r.file(acme.Path("a.csv"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	assert.Equal(t, ingest.KindMissing, waiting.ErrorKind)
	assert.Contains(t, waiting.ErrorMessage, r.s3.Bucket)
	assert.NotNil(t, detail(r.events(waiting.UUID), ingest.EventRetryScheduled, "message"))

	require.NoError(t, r.s3.Core.MakeBucket(r.ctx, r.s3.Bucket, bucketOptions))
	r.awaitScans(scan)
	r.requireExactlyOnce()
}

func TestFullStagingIsWaitedForVisibly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Staging.ReserveBytes = 1 << 60
	stop := r.startWorker()
	acme := r.addServer("acme", nil)
	acme.Write("a.csv", random(100))
	scan := r.scan()
	waiting := r.file(acme.Path("a.csv"), func(f ingest.File) bool { return f.ErrorMessage != "" })
	assert.Equal(t, ingest.KindStagingFull, waiting.ErrorKind)
	assert.Contains(t, waiting.ErrorMessage, "STEVEDORE_STAGING_RESERVE_BYTES")

	stop()
	r.cfg.Staging.ReserveBytes = 0
	r.startWorker()
	r.awaitScans(scan)
	r.requireExactlyOnce()
}

// TestAStoppedWorkerGoesOnWhereItStood: a shutdown in the middle of a download
// keeps every byte, and the next worker on the same staging folder goes on.
func TestAStoppedWorkerGoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var lift func()
	acme := r.addServer("acme", func(s *ingest.Server) { s.Port, lift = throttle(t, s.Port, 8<<10) })
	acme.Write("large.bin", random(24<<20))
	stop := r.startWorker()
	scan := r.scan()
	staged := filepath.Join(r.cfg.Staging.Dir, "files")
	require.Eventually(t, func() bool { return stagedBytes(staged) > 4<<20 }, patience, 20*time.Millisecond)
	stop()
	lift()
	r.startWorker()
	r.awaitScans(scan)
	r.requireExactlyOnce()
	file := r.file(acme.Path("large.bin"), func(ingest.File) bool { return true })
	offset, _ := detail(r.events(file.UUID), ingest.EventDownloadResumed, "offset").(float64)
	assert.Greater(t, offset, float64(4<<20), "at least what had been staged was kept")
}

// stagedBytes is the length of the longest staged file.
func stagedBytes(dir string) (most int64) {
	found, _ := filepath.Glob(filepath.Join(dir, "*", "data"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			most = max(most, info.Size())
		}
	}
	return most
}

func TestTheSourceIsMovedOnlyAfterwards(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme := r.addServer("acme", func(s *ingest.Server) {
		s.RootPath += "/in"
		s.AfterIngest = ingest.AfterIngest("move:" + filepath.Dir(s.RootPath) + "/done")
	})
	acme.Write("in/a.csv", random(100))
	acme.Write("done/a.csv", []byte("of an earlier day"))
	r.scanAndWait()
	file := r.file(acme.Path("in/a.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	require.NoError(t, r.temporal.GetWorkflow(r.ctx, ingest.IngestWorkflowID(file.UUID), "").Get(r.ctx, nil))
	assert.NoFileExists(t, acme.Path("in/a.csv"))
	old, err := os.ReadFile(acme.Path("done/a.csv"))
	require.NoError(t, err)
	assert.Equal(t, "of an earlier day", string(old), "nothing is overwritten")
	moved, err := os.ReadFile(acme.Path("done/" + file.UUID + "-a.csv"))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(random(100), moved))
}

// TestASmallFileNeedsFewEvents keeps the history of the common case small:
// every event is a write in Temporal's database.
func TestASmallFileNeedsFewEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startWorker()
	acme := r.addServer("acme", nil)
	acme.Write("small.csv", random(100))
	r.scanAndWait()
	file := r.file(acme.Path("small.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted })
	history := r.temporal.GetWorkflowHistory(r.ctx, ingest.IngestWorkflowID(file.UUID), "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	n := 0
	for history.HasNext() {
		_, err := history.Next()
		require.NoError(t, err)
		n++
	}
	t.Logf("%d history events", n)
	assert.LessOrEqual(t, n, 25)
}
