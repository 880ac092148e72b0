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

// PostgreSQL's errors for a transaction that it aborts because of another one.
const (
	serializationMessage = "C40001\x00"
	deadlockMessage      = "C40P01\x00"
)

// TestFault47_ConnectionCutAtCommit cuts every other commit of the worker, alternately
// before PostgreSQL receives it and after it was executed.
func TestFault47_ConnectionCutAtCommit(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy, dsn := newCuttingProxy(t, h.Cfg.Database.URL.Reveal(), "commit\x00", func(n int32) cutPosition {
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
	acme := h.AddServer(t, "acme", sandbox.Staged)
	h.StartWorker(t)
	// The number of commits per file depends on batching.
	written := 0
	for proxy.cuts.Load() <= 8 {
		for range 3 {
			acme.Write(t, fmt.Sprintf("%d.bin", written), sandbox.Random(10_000+written))
			written++
		}
		h.ScanAndWait(t)
	}
	assert.Len(t, h.Files(t), written)
	h.RequireExactlyOnce(t)
}

// TestFault48_BackendsTerminatedRepeatedly terminates backends until all files are
// completed: work must progress between two terminations.
func TestFault48_BackendsTerminatedRepeatedly(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", nil)
	h.StartWorker(t)
	admin := connect(t, h)
	written, terminated := 0, 0
	// A fast machine would finish before enough terminations, so it gets more files.
	for terminated <= 10 {
		for range 8 {
			acme.Write(t, fmt.Sprintf("%d.bin", written), sandbox.Random(10_000+written))
			written++
		}
		scan := h.Scan(t)
		terminated += terminateUntil(t, h, admin, func() bool { return completedFiles(t, h) == written })
		h.AwaitScans(t, scan)
	}
	t.Logf("%d backends terminated, %d files", terminated, written)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, f.UUID)
	}
	h.RequireExactlyOnce(t)
}

// terminateUntil terminates the workers' backends repeatedly until all files are
// completed. The intervals grow, so that slow machines finish.
func terminateUntil(t *testing.T, h *sandbox.Cluster, admin *pgx.Conn, done func() bool) (terminated int) {
	t.Helper()
	blow, pause := time.Now(), 500*time.Millisecond
	sandbox.Eventually(t, func() bool {
		if !time.Now().Before(blow) {
			rows, err := admin.Exec(h.Context(t), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = $1`, sandbox.WorkerName)
			require.NoError(t, err)
			terminated += int(rows.RowsAffected())
			blow, pause = time.Now().Add(pause), pause*11/10
		}
		return done()
	}, 4*sandbox.Timeout, 5*tick, "not every file is completed") // the delay grows with each failure
	return terminated
}

func completedFiles(t *testing.T, h *sandbox.Cluster) (n int) {
	for _, f := range h.Files(t) {
		if completed(f) {
			n++
		}
	}
	return n
}

// TestFault49_Deadlock runs a transaction that locks the rows of a listing in the
// opposite order, so that PostgreSQL aborts the listing's transaction.
func TestFault49_Deadlock(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	// The worker must detect the deadlock first and be aborted, so the test's transaction
	// has a longer deadlock timeout.
	proxy, dsn := newCuttingProxy(t, withParam(t, h, "deadlock_timeout", "25s"), "\x00none\x00", nil, deadlockMessage)
	h.Cfg.Database.URL = config.URL(dsn)
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	admin := connect(t, h)
	_, err := admin.Exec(h.Context(t), "SET deadlock_timeout = '2min'")
	require.NoError(t, err)

	reached, locked := make(chan struct{}), make(chan struct{})
	looked := sync.OnceFunc(func() { close(reached); <-locked })
	h.StartWorkerWith(t, h.Cfg, hooks{beforeRecheck: looked}.wrap)
	scan := h.Scan(t)
	await(t, reached, "the settling file is not checked again")
	tx, err := admin.Begin(h.Context(t))
	require.NoError(t, err)
	rows, err := tx.Exec(h.Context(t), "SELECT FROM files WHERE status = 'discovered' FOR UPDATE")
	require.NoError(t, err)
	require.EqualValues(t, 1, rows.RowsAffected())
	close(locked)
	awaitBlockedBy(t, h, admin)
	_, err = tx.Exec(h.Context(t), "SELECT FROM sftp_servers FOR NO KEY UPDATE")
	require.NoError(t, err)
	sandbox.Eventually(t, func() bool { return proxy.received(deadlockMessage) > 0 }, sandbox.Timeout, tick, "PostgreSQL aborted no transaction")
	require.NoError(t, tx.Commit(h.Context(t)))

	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
}

// TestFault49_SerializationFailure runs the worker's transactions at an isolation level
// at which PostgreSQL aborts them after a concurrent change of the row. Changes of files
// set their own level; observations of listings use the default.
func TestFault49_SerializationFailure(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy, dsn := newCuttingProxy(t, withParam(t, h, "default_transaction_isolation", "repeatable read"), "\x00none\x00", nil, serializationMessage)
	h.Cfg.Database.URL = config.URL(dsn)
	admin := connect(t, h)
	released := make(chan error, 1)
	hold := sync.OnceFunc(func() {
		tx, err := admin.Begin(h.Context(t))
		if err == nil {
			_, err = tx.Exec(h.Context(t), "UPDATE files SET last_seen_at = last_seen_at")
		}
		assert.NoError(t, err)
		go func() {
			awaitBlockedBy(t, h, admin)
			released <- tx.Commit(h.Context(t))
		}()
	})
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	h.StartWorkerWith(t, h.Cfg, hooks{beforeRecheck: hold}.wrap)
	h.ScanAndWait(t)
	require.NoError(t, <-released)
	assert.Positive(t, proxy.received(serializationMessage), "no transaction was refused")
	h.RequireExactlyOnce(t)
}

// TestFault50_ReadOnly makes the database read-only between the upload and its commit.
// The file is not notified before the ledger has recorded it.
func TestFault50_ReadOnly(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	admin := connect(t, h)
	readOnly, _ := firstTime(func(ingest.Put) { setReadOnly(t, h, admin, true) })
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	h.StartWorkerWith(t, h.Cfg, hooks{afterPut: readOnly}.wrap)
	scan := h.Scan(t)
	stuck := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool {
		attempt, failure := runningStep(t, h, f.UUID)
		return attempt >= 3 && strings.Contains(failure, "read-only")
	})
	assert.Equal(t, ingest.StatusUploading, stuck.Status)
	assert.Len(t, h.S3.Objects(t), 1, "the object is there")
	assert.Zero(t, queued(t, h), "no notification was published")

	setReadOnly(t, h, admin, false)
	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
}

// TestFault51_OlderBackupRestored replaces the ledger by an older one, which has the
// server and none of its files. All files were notified before.
func TestFault51_OlderBackupRestored(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	acme.Write(t, "b.bin", sandbox.Random(18<<20))
	stop := h.StartWorker(t)
	h.ScanAndWait(t)
	stop()
	before := map[string]ingest.File{"a.bin": h.Completed(t, acme.Path("a.bin")), "b.bin": h.Completed(t, acme.Path("b.bin"))}
	server, err := h.Store.Server(h.Context(t), before["a.bin"].ServerUUID)
	require.NoError(t, err)
	require.Equal(t, 2, queued(t, h))

	useDatabase(t, h, services.Database(t))
	_, err = h.Store.AddServer(h.Context(t), server)
	require.NoError(t, err)
	var writes atomic.Int32
	newStoreProxy(t, h).inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if isWrite(r) || isComplete(r) {
			writes.Add(1)
		}
		return false
	}, nil)
	h.StartWorker(t)
	h.ScanAndWait(t)

	for name, old := range before {
		now := h.Completed(t, acme.Path(name))
		assert.Equal(t, old.UUID, now.UUID, name)
		assert.Equal(t, old.ObjectKey, now.ObjectKey, name)
	}
	assert.Zero(t, writes.Load(), "the objects must not be written again")
	assert.Equal(t, 4, queued(t, h), "each file is notified again")
	h.RequireExactlyOnce(t) // with the earlier message ids
}

// TestFault51_BackupTakenMidTransfer restores a copy of the ledger from the middle of an
// upload, after the file was notified.
func TestFault51_BackupTakenMidTransfer(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy := newStoreProxy(t, h)
	proxy.inject(func(w http.ResponseWriter, r *http.Request) bool {
		refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		return true
	}, nil)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	stop := h.StartWorker(t)
	scan := h.Scan(t)
	file := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading && f.ErrorMessage != "" })
	stop()
	backup := copyDatabase(t, h)
	proxy.inject(nil, nil)
	stop = h.StartWorker(t)
	h.AwaitScans(t, scan)
	h.Completed(t, acme.Path("a.bin"))
	h.AwaitIngest(t, file.UUID)
	stop()
	require.Equal(t, 1, queued(t, h))

	useDatabase(t, h, backup)
	h.StartWorker(t)
	require.Equal(t, ingest.StatusUploading, h.Files(t)[0].Status, "the backup was taken too late")
	assert.EqualValues(t, 1, h.Reconcile(t).Requeued)
	h.ScanAndWait(t)
	assert.Equal(t, file.UUID, h.Completed(t, acme.Path("a.bin")).UUID)
	h.AwaitIngest(t, file.UUID)
	assert.Equal(t, 2, queued(t, h), "the file is notified again")
	h.RequireExactlyOnce(t) // with the earlier message id
}
