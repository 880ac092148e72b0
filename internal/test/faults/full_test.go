package faults_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestFault42_StoreVolumeFull runs a separate MinIO on a small volume.
func TestFault42_StoreVolumeFull(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	volume := mountVolume(t, t.TempDir(), "size=64m")
	newOwnStore(t, h, volume)
	ballast, free := fillVolume(t, volume, 8<<20)
	require.Less(t, free, int64(16<<20))
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(18<<20))
	h.StartWorker(t)
	scan := h.Scan(t)
	waiting := h.File(t, acme.Path("a.bin"), waitsFor("free or add storage"))
	assert.Equal(t, ingest.StatusUploading, waiting.Status)

	require.NoError(t, os.Remove(ballast))
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, waiting.UUID)
	requireRetryRecorded(t, h, waiting.UUID, "has no space for bucket")
	h.RequireExactlyOnce(t)
}

// TestFault50_DatabaseFull keeps the ledger on a small volume and fills it while files
// are in flight. No file is notified before the ledger has recorded it.
func TestFault50_DatabaseFull(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	const files = 60
	h := sandbox.NewCluster(t)
	volume := ownTablespace(t, h)
	acme := h.AddServer(t, "acme", nil)
	for n := range files {
		acme.Write(t, fmt.Sprintf("%d.bin", n), sandbox.Random(1000+n))
	}
	var ballast string
	fill, _ := firstTime(func(ingest.Put) { ballast = fillUp(t, volume) })
	h.StartWorkerWith(t, h.Cfg, hooks{beforePut: fill}.wrap)
	scan := h.Scan(t)
	sandbox.Eventually(t, func() bool {
		for _, f := range h.Files(t) {
			if attempt, failure := runningStep(t, h, f.UUID); attempt >= 3 && strings.Contains(failure, "No space left on device") {
				return true
			}
		}
		return false
	}, sandbox.Timeout, 10*tick, "the database was never full")
	messages, safe := notified(t, h), 0
	for _, f := range h.Files(t) {
		if f.Status == ingest.StatusUploaded || f.Status == ingest.StatusCompleted {
			safe++
			delete(messages, f.ObjectKey)
		}
	}
	assert.Less(t, safe, files)
	assert.Empty(t, messages, "notifications of files that are not in the ledger")

	require.NoError(t, os.Remove(ballast))
	h.AwaitScans(t, scan)
	for n := range files {
		h.AwaitIngest(t, h.Completed(t, acme.Path(fmt.Sprintf("%d.bin", n))).UUID)
	}
	h.RequireExactlyOnce(t)
}

// notified returns the object keys of the messages, which stay in the queue.
func notified(t *testing.T, h *sandbox.Cluster) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	var last uint64
	for {
		message, found, err := h.AMQP.Channel.Get(h.AMQP.Queue, false)
		require.NoError(t, err)
		if !found {
			break
		}
		var envelope struct{ Data struct{ Key string } }
		require.NoError(t, json.Unmarshal(message.Body, &envelope))
		keys[envelope.Data.Key], last = true, message.DeliveryTag
	}
	require.NoError(t, h.AMQP.Channel.Nack(last, true, true))
	return keys
}

// ownTablespace moves the test's database to a volume of 32 MiB and returns
// the volume's folder.
func ownTablespace(t *testing.T, h *sandbox.Cluster) (volume string) {
	t.Helper()
	h.Store.Close() // a database in use cannot be moved
	target, err := pgx.ParseConfig(databaseOf(h))
	require.NoError(t, err)
	database := pgx.Identifier{target.Database}.Sanitize()
	target.Database = "postgres"
	var data string
	administer(t, target, func(conn *pgx.Conn) error { return conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data) })
	owner, err := os.Stat(data)
	require.NoError(t, err, "the data of PostgreSQL must be on this machine")
	// The user postgres must reach it, and the test's own folders are private.
	parent, err := os.MkdirTemp("", "stevedore-tablespace-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	require.NoError(t, os.Chmod(parent, 0o711))
	volume = filepath.Join(parent, "volume")
	require.NoError(t, os.Mkdir(volume, 0o700))
	mountVolume(t, volume, fmt.Sprintf("size=32m,mode=0700,uid=%d", owner.Sys().(*syscall.Stat_t).Uid))

	space := "small_" + strings.ToLower(rand.Text())
	run := func(statement string) {
		administer(t, target, func(conn *pgx.Conn) error {
			_, err := conn.Exec(context.WithoutCancel(t.Context()), statement)
			return err
		})
	}
	run("CREATE TABLESPACE " + space + " LOCATION '" + volume + "'")
	t.Cleanup(func() {
		run("DROP DATABASE " + database + " WITH (FORCE)")
		run("DROP TABLESPACE " + space)
	})
	run("ALTER DATABASE " + database + " SET TABLESPACE " + space)
	useDatabase(t, h, databaseOf(h))
	return volume
}

// fillUp fills a volume, despite other writers, and returns the file to remove.
func fillUp(t *testing.T, volume string) string {
	path := filepath.Join(volume, "ballast")
	ballast, err := os.Create(path)
	assert.NoError(t, err)
	defer ballast.Close()
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	assert.ErrorIs(t, err, unix.ENOSPC)
	return path
}
