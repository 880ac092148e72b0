// Package sandbox is for tests of whole ingests: it runs workers on a ledger, keyset, bucket,
// queue, task queue and SFTP servers of the test's own. RequireExactlyOnce ends a test: each file
// was stored and notified exactly once, and no connection is left.
package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// Timeout bounds every wait. It is long because machines that run all tests are slow.
const Timeout = 2 * time.Minute

// scanInterval is also the time a scan waits for settling files. It is long because no
// schedule scans again here.
const scanInterval = 5 * time.Minute

// Sandbox is the isolated environment of one test.
type Sandbox struct {
	// Cfg is a worker's configuration; a test may change it before starting workers.
	Cfg config.Config
	// Env is the environment that Cfg was loaded from, for worker processes.
	Env    []string
	Store  *store.Store
	Sealer *credentials.Sealer
	S3     services.S3
	AMQP   services.AMQP

	// OtherStaging lists the staging folders of further workers, for the audit.
	OtherStaging []string
	// OtherSources lists expected files besides those on OpenSSH servers.
	OtherSources []audit.Source

	// Ignore, if not nil, reports whether the audit skips a file with its object,
	// message and staged bytes, because the test expects it to be unfinished.
	Ignore func(ingest.File) bool

	sources []*services.SSHD
	names   []string
	objects func() []audit.StoredObject // default: read from S3
	// dsn is the direct URL of the database, even if workers use a proxy.
	dsn string
	// deadline ends the contexts of the sandbox.
	deadline time.Time
}

// New creates a sandbox. It skips the test under -short.
func New(t *testing.T) *Sandbox {
	t.Helper()
	r := &Sandbox{S3: services.Bucket(t), AMQP: services.Queue(t)}
	dsn := services.Database(t)
	r.SetTimeout(5 * Timeout)
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.json")
	require.NoError(t, credentials.Generate(keys))
	var err error
	r.Sealer, err = credentials.Open(keys)
	require.NoError(t, err)
	r.Env = []string{
		databaseVariable + dsn,
		"STEVEDORE_S3_ENDPOINT=" + r.S3.Endpoint, "STEVEDORE_S3_ACCESS_KEY=" + r.S3.AccessKey,
		"STEVEDORE_S3_SECRET_KEY=" + r.S3.SecretKey, "STEVEDORE_S3_BUCKET=" + r.S3.Bucket, "STEVEDORE_S3_USE_TLS=false",
		"STEVEDORE_AMQP_URL=" + r.AMQP.URL, "STEVEDORE_AMQP_QUEUE=" + r.AMQP.Queue,
		"STEVEDORE_STAGING_DIR=" + filepath.Join(dir, "staging"), "STEVEDORE_STAGING_RESERVE_BYTES=0",
		"STEVEDORE_KEYSET_FILE=" + keys, "STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8",
		"STEVEDORE_WORKER_STOP_TIMEOUT=20s", "STEVEDORE_TRANSFER_CHECKSUM_WAIT=0s",
	}
	if defaultTransfer() == ingest.TransferDirect {
		r.Env = append(r.Env, "STEVEDORE_TRANSFER_MEMORY_LIMIT=0")
	}
	r.Cfg, err = config.Load(config.Options{Environ: r.Env})
	require.NoError(t, err)
	r.UseDatabase(t, dsn)
	t.Cleanup(func() { r.logState(t) })
	return r
}

// SetTimeout ends the contexts of later calls of Context after the timeout. Default: ten
// minutes from New.
func (r *Sandbox) SetTimeout(timeout time.Duration) { r.deadline = time.Now().Add(timeout) }

// Context returns a context that ends with the test or at the timeout, see SetTimeout.
func (r *Sandbox) Context(t testing.TB) context.Context {
	ctx, cancel := context.WithDeadline(t.Context(), r.deadline)
	t.Cleanup(cancel)
	return ctx
}

// UseStore replaces the object store. objects, if not nil, returns its objects, for
// stores that are too large to read.
func (r *Sandbox) UseStore(s services.S3, objects func() []audit.StoredObject) {
	r.S3, r.objects = s, objects
	r.Cfg.S3.Endpoint, r.Cfg.S3.AccessKey, r.Cfg.S3.SecretKey, r.Cfg.S3.Bucket = s.Endpoint, s.AccessKey, config.Secret(s.SecretKey), s.Bucket
	r.Env = append(r.Env,
		"STEVEDORE_S3_ENDPOINT="+s.Endpoint, "STEVEDORE_S3_ACCESS_KEY="+s.AccessKey, "STEVEDORE_S3_SECRET_KEY="+s.SecretKey, "STEVEDORE_S3_BUCKET="+s.Bucket)
}

// UseDatabase replaces the ledger, but not its URL in Cfg.
func (r *Sandbox) UseDatabase(t testing.TB, dsn string) {
	t.Helper()
	ledger, err := store.New(r.Context(t), store.Config{DatabaseURL: dsn, MaxConns: 3})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	r.Store, r.dsn = ledger, dsn
}

// AddServer starts an OpenSSH and registers it; change may be nil.
func (r *Sandbox) AddServer(t testing.TB, name string, change func(*ingest.Server)) *services.SSHD {
	t.Helper()
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	r.Adopt(t, sshd, name, change)
	return sshd
}

// Adopt registers a running server whose files are expected to arrive; change may be
// nil.
func (r *Sandbox) Adopt(t testing.TB, sshd *services.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	t.Helper()
	r.Expect(sshd, name)
	return r.Register(t, sshd, name, change)
}

// defaultTransfer returns the transfer setting of servers without one from their test:
// STEVEDORE_TEST_TRANSFER, with which `make chaos` runs every fault in every mode. With
// "direct" no file is transferred in memory. Empty selects the product's default.
func defaultTransfer() ingest.TransferSetting {
	return ingest.TransferSetting(os.Getenv("STEVEDORE_TEST_TRANSFER"))
}

// InMemory is an option of AddServer that transfers small files in memory even if
// STEVEDORE_TEST_TRANSFER is staged.
func InMemory(s *ingest.Server) { s.Transfer = ingest.TransferAuto }

// Staged is an option of AddServer that stages all files of the server. By default small files are
// transferred in memory.
func Staged(s *ingest.Server) { s.Transfer = ingest.TransferStaged }

// Direct is an option of AddServer that transfers files directly, except small ones in memory.
func Direct(s *ingest.Server) { s.Transfer = ingest.TransferDirect }

// Expect makes the audit expect the files of a server that the test registers itself.
func (r *Sandbox) Expect(sshd *services.SSHD, name string) {
	r.sources, r.names = append(r.sources, sshd), append(r.names, name)
}

// Register registers a running server whose files are not expected to arrive; change may
// be nil.
func (r *Sandbox) Register(t testing.TB, sshd *services.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	t.Helper()
	server := sshd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval, server.Transfer = 2*time.Second, scanInterval, defaultTransfer()
	if change != nil {
		change(&server)
	}
	switch {
	case len(server.PasswordEncrypted)+len(server.PrivateKeyEncrypted) > 0:
	case sshd.Password != "":
		server.PasswordEncrypted = r.Seal(t, server, credentials.FieldPassword, []byte(sshd.Password))
	default:
		server.PrivateKeyEncrypted = r.Seal(t, server, credentials.FieldPrivateKey, sshd.PrivateKeyPEM)
	}
	server, err := r.Store.AddServer(r.Context(t), server)
	require.NoError(t, err)
	return server
}

// Seal encrypts a server's secret for the ledger. The ciphertext is bound to the host,
// port, user name and host keys of the server.
func (r *Sandbox) Seal(t testing.TB, server ingest.Server, field string, secret []byte) []byte {
	t.Helper()
	sealed, err := r.Sealer.Seal(field, server, secret)
	require.NoError(t, err)
	return sealed
}

// Edit changes a server like an operator who enters its credentials again.
func (r *Sandbox) Edit(t testing.TB, serverUUID string, change func(*ingest.Server)) ingest.Server {
	t.Helper()
	edited, err := r.Store.EditServer(r.Context(t), serverUUID, func(s ingest.Server) (ingest.Server, error) {
		before := s
		change(&s)
		return r.Sealer.Reseal(before, s)
	})
	require.NoError(t, err)
	return edited
}

// Pin replaces a server's host keys like an operator does.
func (r *Sandbox) Pin(t testing.TB, serverUUID string, keys ...string) {
	t.Helper()
	_, err := r.Store.EditServer(ingest.WithResealing(r.Context(t)), serverUUID, func(s ingest.Server) (ingest.Server, error) {
		pinned := s
		pinned.HostKeys, pinned.State, pinned.LastError = keys, ingest.ServerOK, ""
		return r.Sealer.Reseal(s, pinned)
	})
	require.NoError(t, err)
}

// File waits for a file with the path that satisfies the condition and returns it.
func (r *Sandbox) File(t testing.TB, path string, ok func(ingest.File) bool) (found ingest.File) {
	t.Helper()
	return r.FileWithin(t, Timeout, path, ok)
}

// FileWithin is File with another timeout.
func (r *Sandbox) FileWithin(t testing.TB, timeout time.Duration, path string, ok func(ingest.File) bool) (found ingest.File) {
	t.Helper()
	var last []ingest.File
	Eventually(t, func() bool {
		last = nil
		for _, f := range r.Files(t) {
			if f.RemotePath != path {
				continue
			}
			if last = append(last, f); ok(f) {
				found = f
				return true
			}
		}
		return false
	}, timeout, 100*time.Millisecond, "no such row for %s", path)
	return found
}

// Files returns every row of the ledger.
func (r *Sandbox) Files(t testing.TB) (files []ingest.File) {
	t.Helper()
	const pageSize = 1000
	for after := int64(0); ; {
		page, err := r.Store.Files(r.Context(t), ingest.FileFilter{AfterID: after, Limit: pageSize})
		require.NoError(t, err)
		if files = append(files, page...); len(page) < pageSize {
			return files
		}
		after = page[len(page)-1].ID
	}
}

// Count returns the number of files in the ledger.
func (r *Sandbox) Count(t testing.TB) int {
	t.Helper()
	return len(r.Files(t))
}

// Events returns the events of a file.
func (r *Sandbox) Events(t testing.TB, fileUUID string) []ingest.StoredEvent {
	events, err := r.Store.Events(r.Context(t), fileUUID, 0, 1000)
	require.NoError(t, err)
	return events
}

// LatestScan returns the newest scan of a server.
func (r *Sandbox) LatestScan(t testing.TB, serverUUID string) ingest.Scan {
	t.Helper()
	scans, err := r.Store.ScansBefore(r.Context(t), serverUUID, 0, 1)
	require.NoError(t, err)
	require.Len(t, scans, 1)
	return scans[0]
}

// Ignored returns the paths of the entries ignored by the last listing of a server.
func (r *Sandbox) Ignored(t testing.TB, serverUUID string) []string {
	t.Helper()
	db, err := pgx.Connect(r.Context(t), r.dsn)
	require.NoError(t, err)
	defer func() { _ = db.Close(r.Context(t)) }()
	rows, err := db.Query(r.Context(t), "SELECT path FROM ignored_entries WHERE server_uuid = $1 ORDER BY first_seen_at, path_sha256", serverUUID)
	require.NoError(t, err)
	paths, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return paths
}

// AddFaulty starts a FaultySFTP and registers it; change may be nil. The audit expects
// only files added with WriteFaulty.
func (r *Sandbox) AddFaulty(t testing.TB, name string, change func(*ingest.Server)) *services.FaultySFTP {
	t.Helper()
	server := services.StartFaultySFTP(t)
	r.registerFaulty(t, server, name, change)
	return server
}

// AddTree starts a FaultyTree and registers it; change may be nil.
func (r *Sandbox) AddTree(t testing.TB, name string, change func(*ingest.Server)) *services.FaultyTree {
	t.Helper()
	tree := services.StartFaultyTree(t)
	r.registerFaulty(t, tree.FaultySFTP, name, change)
	return tree
}

func (r *Sandbox) registerFaulty(t testing.TB, faulty *services.FaultySFTP, name string, change func(*ingest.Server)) {
	t.Helper()
	server := faulty.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval, server.Transfer = 2*time.Second, scanInterval, defaultTransfer()
	if change != nil {
		change(&server)
	}
	if len(server.PasswordEncrypted) == 0 {
		server.PasswordEncrypted = r.Seal(t, server, credentials.FieldPassword, []byte(faulty.Password))
	}
	_, err := r.Store.AddServer(r.Context(t), server)
	require.NoError(t, err)
}

// WriteFaulty adds a file that is expected to arrive.
func (r *Sandbox) WriteFaulty(faulty *services.FaultySFTP, server, name string, content []byte) {
	faulty.Write(name, content)
	r.OtherSources = append(r.OtherSources, audit.Source{
		Server: server, Path: faulty.Path(name), Size: int64(len(content)), SHA256: Digest(content),
	})
}

// Random returns n incompressible bytes, the same in every run.
func Random(n int) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(content)
	return content
}

// Digest returns the SHA-256 of content in hex.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// LastDetail returns a detail of the last event of the type, or nil.
func LastDetail(events []ingest.StoredEvent, of ingest.EventType, key string) any {
	for _, e := range slices.Backward(events) {
		if e.Type == of {
			return e.Details[key]
		}
	}
	return nil
}

// Count returns the number of events of the type.
func Count(events []ingest.StoredEvent, of ingest.EventType) (n int) {
	for _, e := range events {
		if e.Type == of {
			n++
		}
	}
	return n
}

// Detail returns a detail of the first event of the type, or nil.
func Detail(events []ingest.StoredEvent, of ingest.EventType, key string) any {
	for _, e := range events {
		if e.Type == of {
			return e.Details[key]
		}
	}
	return nil
}
