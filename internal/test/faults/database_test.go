package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// PostgreSQL's answers to a transaction that it ended for another one's sake.
const (
	saysSerialization = "C40001\x00"
	saysDeadlock      = "C40P01\x00"
)

// TestFault47_ConnectionCutAtCommit cuts every other commit of the worker's,
// by turns before PostgreSQL has it and after it was carried out.
func TestFault47_ConnectionCutAtCommit(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	wire, dsn := newWire(t, h.Cfg.Database.URL.Reveal(), "commit\x00", func(n int32) severing {
		switch n % 4 {
		case 1:
			return cutAfter
		case 3:
			return cutBefore
		default:
			return pass
		}
	})
	h.Cfg.Database.URL = config.URL(dsn)
	acme := h.AddServer("acme", sandbox.Staged)
	h.StartWorker()
	// How many commits files take depends on how they are grouped.
	written := 0
	for wire.cuts.Load() <= 8 {
		for range 3 {
			acme.Write(fmt.Sprintf("%d.bin", written), sandbox.Random(10_000+written))
			written++
		}
		h.ScanAndWait()
	}
	assert.Len(t, h.Files(), written)
	h.RequireExactlyOnce()
}

// TestFault48_BackendsTerminatedAgainAndAgain does so until all is done: work
// must go on between two blows.
func TestFault48_BackendsTerminatedAgainAndAgain(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme := h.AddServer("acme", nil)
	h.StartWorker()
	admin := connect(t, h)
	written, terminated := 0, 0
	// A fast machine is through before many blows have fallen: it gets more to do.
	for terminated <= 10 {
		for range 8 {
			acme.Write(fmt.Sprintf("%d.bin", written), sandbox.Random(10_000+written))
			written++
		}
		scan := h.Scan()
		terminated += terminateUntil(t, h, admin, func() bool { return completedFiles(h) == written })
		h.AwaitScans(scan)
	}
	t.Logf("%d backends terminated, %d files", terminated, written)
	for _, f := range h.Files() {
		h.AwaitIngest(f.UUID)
	}
	h.RequireExactlyOnce()
}

// terminateUntil ends the workers' backends again and again until all is done.
// Each blow is later than the one before, so that slow machines get through.
func terminateUntil(t *testing.T, h *sandbox.Cluster, admin *pgx.Conn, done func() bool) (terminated int) {
	t.Helper()
	blow, pause := time.Now(), 500*time.Millisecond
	sandbox.Eventually(t, func() bool {
		if !time.Now().Before(blow) {
			rows, err := admin.Exec(h.Ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = $1`, sandbox.WorkerName)
			require.NoError(t, err)
			terminated += int(rows.RowsAffected())
			blow, pause = time.Now().Add(pause), pause*11/10
		}
		return done()
	}, 4*sandbox.Timeout, 5*tick, "not everything arrives") // what fails again and again waits longer and longer
	return terminated
}

func completedFiles(h *sandbox.Cluster) (n int) {
	for _, f := range h.Files() {
		if completed(f) {
			n++
		}
	}
	return n
}

// TestFault49_Deadlock has a transaction that takes the rows which a listing
// takes, in the other order, and in which PostgreSQL ends the listing's.
func TestFault49_Deadlock(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	// The worker is the one that finds the deadlock, and so the one that ends:
	// the test has so long to wait for the worker's lock.
	wire, dsn := newWire(t, withParam(t, h, "deadlock_timeout", "25s"), "\x00none\x00", nil, saysDeadlock)
	h.Cfg.Database.URL = config.URL(dsn)
	acme := h.AddServer("acme", nil)
	acme.Write("a.bin", sandbox.Random(1000))
	admin := connect(t, h)
	_, err := admin.Exec(h.Ctx, "SET deadlock_timeout = '2min'")
	require.NoError(t, err)

	reached, locked := make(chan struct{}), make(chan struct{})
	looked := sync.OnceFunc(func() { close(reached); <-locked })
	h.StartWorkerWith(h.Cfg, moments{beforeRecheck: looked}.wrap)
	scan := h.Scan()
	await(t, reached, "nobody looks at the settling file again")
	tx, err := admin.Begin(h.Ctx)
	require.NoError(t, err)
	rows, err := tx.Exec(h.Ctx, "SELECT FROM files WHERE status = 'discovered' FOR UPDATE")
	require.NoError(t, err)
	require.EqualValues(t, 1, rows.RowsAffected())
	close(locked)
	awaitBlockedBy(t, h, admin)
	_, err = tx.Exec(h.Ctx, "SELECT FROM sftp_servers FOR NO KEY UPDATE")
	require.NoError(t, err)
	sandbox.Eventually(t, func() bool { return wire.heard(saysDeadlock) > 0 }, sandbox.Timeout, tick, "PostgreSQL ended nobody")
	require.NoError(t, tx.Commit(h.Ctx))

	h.AwaitScans(scan)
	h.RequireExactlyOnce()
}

// TestFault49_SerializationFailure runs the worker's transactions at a level at
// which PostgreSQL refuses to go on after another one changed the row. Changes of
// files choose their own level; what listings see is written at the default one.
func TestFault49_SerializationFailure(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	wire, dsn := newWire(t, withParam(t, h, "default_transaction_isolation", "repeatable read"), "\x00none\x00", nil, saysSerialization)
	h.Cfg.Database.URL = config.URL(dsn)
	admin := connect(t, h)
	released := make(chan error, 1)
	hold := sync.OnceFunc(func() {
		tx, err := admin.Begin(h.Ctx)
		if err == nil {
			_, err = tx.Exec(h.Ctx, "UPDATE files SET last_seen_at = last_seen_at")
		}
		assert.NoError(t, err)
		go func() {
			awaitBlockedBy(t, h, admin)
			released <- tx.Commit(h.Ctx)
		}()
	})
	acme := h.AddServer("acme", nil)
	acme.Write("a.bin", sandbox.Random(1000))
	h.StartWorkerWith(h.Cfg, moments{beforeRecheck: hold}.wrap)
	h.ScanAndWait()
	require.NoError(t, <-released)
	assert.Positive(t, wire.heard(saysSerialization), "nobody was refused")
	h.RequireExactlyOnce()
}

// TestFault50_ReadOnly makes the database read-only between the upload and its
// commit. The file is not announced before the ledger has it.
func TestFault50_ReadOnly(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	admin := connect(t, h)
	readOnly, _ := firstTime(func(ingest.Put) { setReadOnly(t, h, admin, true) })
	acme := h.AddServer("acme", sandbox.Staged)
	acme.Write("a.bin", sandbox.Random(1000))
	h.StartWorkerWith(h.Cfg, moments{afterPut: readOnly}.wrap)
	scan := h.Scan()
	stuck := h.File(acme.Path("a.bin"), func(f ingest.File) bool {
		attempt, failure := runningStep(h, f.UUID)
		return attempt >= 3 && strings.Contains(failure, "read-only")
	})
	assert.Equal(t, ingest.StatusUploading, stuck.Status)
	assert.Len(t, h.S3.Objects(t), 1, "the object is there")
	assert.Zero(t, queued(t, h), "and nobody was told")

	setReadOnly(t, h, admin, false)
	h.AwaitScans(scan)
	h.RequireExactlyOnce()
}

// TestFault51_OlderBackupRestored gives the worker a ledger that knows the
// server and none of its files, all of which were announced before.
func TestFault51_OlderBackupRestored(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme := h.AddServer("acme", sandbox.Staged)
	acme.Write("a.bin", sandbox.Random(1000))
	acme.Write("b.bin", sandbox.Random(18<<20))
	stop := h.StartWorker()
	h.ScanAndWait()
	stop()
	before := map[string]ingest.File{"a.bin": h.Completed(acme.Path("a.bin")), "b.bin": h.Completed(acme.Path("b.bin"))}
	server, err := h.Store.Server(h.Ctx, before["a.bin"].ServerUUID)
	require.NoError(t, err)
	require.Equal(t, 2, queued(t, h))

	useDatabase(h, services.Database(t))
	_, err = h.Store.AddServer(h.Ctx, server)
	require.NoError(t, err)
	var writes atomic.Int32
	newStoreProxy(t, h).harm(func(_ http.ResponseWriter, r *http.Request) bool {
		if isWrite(r) || isComplete(r) {
			writes.Add(1)
		}
		return false
	}, nil)
	h.StartWorker()
	h.ScanAndWait()

	for name, old := range before {
		now := h.Completed(acme.Path(name))
		assert.Equal(t, old.UUID, now.UUID, name)
		assert.Equal(t, old.ObjectKey, now.ObjectKey, name)
	}
	assert.Zero(t, writes.Load(), "the objects are found, not written again")
	assert.Equal(t, 4, queued(t, h), "each file is announced again")
	h.RequireExactlyOnce() // with the message ids of before
}

// TestFault51_BackupOfTheMiddle restores a copy of the ledger that was made
// while a file was being uploaded, after that file was announced.
func TestFault51_BackupOfTheMiddle(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy := newStoreProxy(t, h)
	proxy.harm(func(w http.ResponseWriter, r *http.Request) bool {
		refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		return true
	}, nil)
	acme := h.AddServer("acme", sandbox.Staged)
	acme.Write("a.bin", sandbox.Random(1000))
	stop := h.StartWorker()
	scan := h.Scan()
	file := h.File(acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.ErrorMessage != "" })
	stop()
	backup := copyDatabase(t, h)
	proxy.harm(nil, nil)
	stop = h.StartWorker()
	h.AwaitScans(scan)
	h.Completed(acme.Path("a.bin"))
	h.AwaitIngest(file.UUID)
	stop()
	require.Equal(t, 1, queued(t, h))

	useDatabase(h, backup)
	h.StartWorker()
	require.Equal(t, ingest.StatusUploading, h.Files()[0].Status, "the backup is from before")
	assert.EqualValues(t, 1, h.Reconcile().Requeued)
	h.ScanAndWait()
	assert.Equal(t, file.UUID, h.Completed(acme.Path("a.bin")).UUID)
	h.AwaitIngest(file.UUID)
	assert.Equal(t, 2, queued(t, h), "it is announced again")
	h.RequireExactlyOnce() // with the message id of before
}
