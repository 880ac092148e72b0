// Package sandbox gives a test a whole world of its own over real parts: ledger,
// keyset, store, queue and SFTP servers, and the verdict of the oracle at the end.
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
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// Timeout bounds every wait; it is long because machines that run all tests
// at once are slow, and costs nothing when all is well.
const Timeout = 2 * time.Minute

// scanInterval is also how long a scan stays for files that settle. No schedule
// scans again here, and a busy machine takes its time.
const scanInterval = 5 * time.Minute

// Sandbox is one test's own world.
type Sandbox struct {
	T *testing.T
	// Ctx ends with the test, and before the test binary's own time-out.
	Ctx context.Context
	// Cfg is a worker's configuration for this world; a test may change it
	// before it uses it.
	Cfg config.Config
	// Env is the environment that Cfg was loaded from, for worker processes.
	Env    []string
	Store  *store.Store
	Sealer *credentials.Sealer
	S3     services.S3
	AMQP   services.AMQP

	// OtherStaging are the staging folders of further workers, for the verdict.
	OtherStaging []string
	// OtherSources are files of odd servers that are expected to arrive.
	OtherSources []audit.Source

	// Leave, may be nil, names rows that the verdict leaves out, with their
	// objects, messages and staged bytes: those of files that the test knows not
	// to be done.
	Ignore func(ingest.File) bool

	sources []*services.SSHD
	names   []string
	objects func() []audit.StoredObject // nil: those of S3, read
	// dsn is the database's address, whatever line workers take there.
	dsn string
}

// New makes the world. It skips the test under -short.
func New(t *testing.T) *Sandbox {
	t.Helper()
	r := &Sandbox{T: t, S3: services.Bucket(t), AMQP: services.Queue(t)}
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
	if transferOfAll() == ingest.TransferDirect {
		r.Env = append(r.Env, "STEVEDORE_TRANSFER_MEMORY_LIMIT=0")
	}
	r.Cfg, err = config.Load(config.Options{Environ: r.Env})
	require.NoError(t, err)
	r.UseDatabase(dsn)
	t.Cleanup(r.logState)
	return r
}

// Allow gives the test so much time from now on, instead of ten minutes.
func (r *Sandbox) SetTimeout(most time.Duration) {
	ctx, cancel := context.WithTimeout(r.T.Context(), most)
	r.T.Cleanup(cancel)
	r.Ctx = ctx
}

// UseStore makes another object store that of the world. objects, may be nil,
// returns what it holds, where reading all of it takes too long.
func (r *Sandbox) UseStore(s services.S3, objects func() []audit.StoredObject) {
	r.S3, r.objects = s, objects
	r.Cfg.S3.Endpoint, r.Cfg.S3.AccessKey, r.Cfg.S3.SecretKey, r.Cfg.S3.Bucket = s.Endpoint, s.AccessKey, config.Secret(s.SecretKey), s.Bucket
	r.Env = append(r.Env,
		"STEVEDORE_S3_ENDPOINT="+s.Endpoint, "STEVEDORE_S3_ACCESS_KEY="+s.AccessKey, "STEVEDORE_S3_SECRET_KEY="+s.SecretKey, "STEVEDORE_S3_BUCKET="+s.Bucket)
}

// UseDatabase lets the world go on with another ledger. Cfg keeps its address.
func (r *Sandbox) UseDatabase(dsn string) {
	r.T.Helper()
	ledger, err := store.New(r.Ctx, store.Config{DatabaseURL: dsn, MaxConns: 3})
	require.NoError(r.T, err)
	r.T.Cleanup(ledger.Close)
	r.Store, r.dsn = ledger, dsn
}

// AddServer starts an OpenSSH and registers it; change may be nil.
func (r *Sandbox) AddServer(name string, change func(*ingest.Server)) *services.SSHD {
	r.T.Helper()
	sshd := services.StartSSHD(r.T, services.SSHDOptions{})
	r.Adopt(sshd, name, change)
	return sshd
}

// Adopt registers a server that runs already, and its files are expected to
// arrive; change may be nil.
func (r *Sandbox) Adopt(sshd *services.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	r.T.Helper()
	r.Expect(sshd, name)
	return r.Register(sshd, name, change)
}

// transferOfAll is the transfer setting of servers whose test does not choose one:
// STEVEDORE_TEST_TRANSFER, by which `make chaos` runs every fault in every mode.
// With "direct" no file is moved in memory. Empty is the default.
func transferOfAll() ingest.TransferSetting {
	return ingest.TransferSetting(os.Getenv("STEVEDORE_TEST_TRANSFER"))
}

// InMemory is a change for AddServer and the like: small files are moved in memory,
// whatever mode a run of all faults has chosen, unless that is direct.
func InMemory(s *ingest.Server) { s.Transfer = ingest.TransferAuto }

// Staged is a change for AddServer and the like: all files of the server are
// staged. Without one small files are moved in memory.
func Staged(s *ingest.Server) { s.Transfer = ingest.TransferStaged }

// Direct is like Staged for direct transfers; small files are still moved in
// memory.
func Direct(s *ingest.Server) { s.Transfer = ingest.TransferDirect }

// Expect makes the verdict count on a server's files, by whomever it is
// registered.
func (r *Sandbox) Expect(sshd *services.SSHD, name string) {
	r.sources, r.names = append(r.sources, sshd), append(r.names, name)
}

// Register adds a server that runs already and whose files are not expected to
// arrive; change may be nil.
func (r *Sandbox) Register(sshd *services.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	r.T.Helper()
	server := sshd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval, server.Transfer = 2*time.Second, scanInterval, transferOfAll()
	if change != nil {
		change(&server)
	}
	switch {
	case len(server.PasswordEncrypted)+len(server.PrivateKeyEncrypted) > 0:
	case sshd.Password != "":
		server.PasswordEncrypted = r.Seal(server, credentials.FieldPassword, []byte(sshd.Password))
	default:
		server.PrivateKeyEncrypted = r.Seal(server, credentials.FieldPrivateKey, sshd.PrivateKeyPEM)
	}
	server, err := r.Store.AddServer(r.Ctx, server)
	require.NoError(r.T, err)
	return server
}

// Seal encrypts a server's secret as the ledger keeps it. The server must have the
// host, port, user name and host keys that it is to be used with.
func (r *Sandbox) Seal(server ingest.Server, field string, secret []byte) []byte {
	r.T.Helper()
	sealed, err := r.Sealer.Seal(field, server, secret)
	require.NoError(r.T, err)
	return sealed
}

// Edit changes a server as an operator who has its credentials does.
func (r *Sandbox) Edit(serverUUID string, change func(*ingest.Server)) ingest.Server {
	r.T.Helper()
	edited, err := r.Store.EditServer(r.Ctx, serverUUID, func(s ingest.Server) (ingest.Server, error) {
		before := s
		change(&s)
		return r.Sealer.Reseal(before, s)
	})
	require.NoError(r.T, err)
	return edited
}

// Pin replaces a server's host keys as an operator does who approves them.
func (r *Sandbox) Pin(serverUUID string, keys ...string) {
	r.T.Helper()
	require.NoError(r.T, r.Store.SetHostKeys(r.Ctx, serverUUID, func(s ingest.Server) (ingest.Server, error) {
		pinned := s
		pinned.HostKeys = keys
		return r.Sealer.Reseal(s, pinned)
	}))
}

// File waits until the ledger has a row for the path that satisfies the
// condition, and returns it.
func (r *Sandbox) File(path string, ok func(ingest.File) bool) (found ingest.File) {
	r.T.Helper()
	return r.FileWithin(Timeout, path, ok)
}

// FileWithin is File for what takes its time.
func (r *Sandbox) FileWithin(patience time.Duration, path string, ok func(ingest.File) bool) (found ingest.File) {
	r.T.Helper()
	var last []ingest.File
	Eventually(r.T, func() bool {
		last = nil
		for _, f := range r.Files() {
			if f.RemotePath != path {
				continue
			}
			if last = append(last, f); ok(f) {
				found = f
				return true
			}
		}
		return false
	}, patience, 100*time.Millisecond, "no such row for %s", path)
	return found
}

// Files returns every row of the ledger.
func (r *Sandbox) Files() (files []ingest.File) {
	r.T.Helper()
	const atOnce = 1000
	for after := int64(0); ; {
		page, err := r.Store.Files(r.Ctx, ingest.FileFilter{AfterID: after, Limit: atOnce})
		require.NoError(r.T, err)
		if files = append(files, page...); len(page) < atOnce {
			return files
		}
		after = page[len(page)-1].ID
	}
}

// Count is how many rows the ledger has.
func (r *Sandbox) Count() int {
	r.T.Helper()
	return len(r.Files())
}

// Events returns what happened to a file.
func (r *Sandbox) Events(fileUUID string) []ingest.StoredEvent {
	events, err := r.Store.Events(r.Ctx, fileUUID, 0, 1000)
	require.NoError(r.T, err)
	return events
}

// AddFaulty starts an odd SFTP server and registers it; change may be nil. Its
// files are written with WriteFaulty, so that the oracle knows of them.
func (r *Sandbox) AddFaulty(name string, change func(*ingest.Server)) *services.FaultySFTP {
	r.T.Helper()
	odd := services.StartFaultySFTP(r.T)
	r.registerFaulty(odd, name, change)
	return odd
}

// AddTree is AddFaulty for a server with a tree of folders.
func (r *Sandbox) AddTree(name string, change func(*ingest.Server)) *services.FaultyTree {
	r.T.Helper()
	tree := services.StartFaultyTree(r.T)
	r.registerFaulty(tree.FaultySFTP, name, change)
	return tree
}

func (r *Sandbox) registerFaulty(odd *services.FaultySFTP, name string, change func(*ingest.Server)) {
	r.T.Helper()
	server := odd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval, server.Transfer = 2*time.Second, scanInterval, transferOfAll()
	if change != nil {
		change(&server)
	}
	if len(server.PasswordEncrypted) == 0 {
		server.PasswordEncrypted = r.Seal(server, credentials.FieldPassword, []byte(odd.Password))
	}
	_, err := r.Store.AddServer(r.Ctx, server)
	require.NoError(r.T, err)
}

// WriteFaulty writes a file that is expected to arrive.
func (r *Sandbox) WriteFaulty(odd *services.FaultySFTP, server, name string, content []byte) {
	odd.Write(name, content)
	r.OtherSources = append(r.OtherSources, audit.Source{
		Server: server, Path: odd.Path(name), Size: int64(len(content)), SHA256: Digest(content),
	})
}

// Random returns n bytes that compress badly and are the same in every run.
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

// LastDetail is Detail of the last event of the type.
func LastDetail(events []ingest.StoredEvent, of ingest.EventType, key string) any {
	backwards := slices.Clone(events)
	slices.Reverse(backwards)
	return Detail(backwards, of, key)
}

// Count returns how many of the events are of the type.
func Count(events []ingest.StoredEvent, of ingest.EventType) (n int) {
	for _, e := range events {
		if e.Type == of {
			n++
		}
	}
	return n
}

// Detail returns one detail of the first event of the type, or nil.
func Detail(events []ingest.StoredEvent, of ingest.EventType, key string) any {
	for _, e := range events {
		if e.Type == of {
			return e.Details[key]
		}
	}
	return nil
}
