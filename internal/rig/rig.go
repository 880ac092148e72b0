// Package rig gives a test a whole world of its own over real parts: ledger,
// vault, store, queue and SFTP servers, and the verdict of the oracle at the end.
package rig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
	"stevedore/internal/store"
	"stevedore/internal/testenv"
	"stevedore/internal/vault"
)

// Patience bounds every wait; it is long because machines that run all tests
// at once are slow, and costs nothing when all is well.
const Patience = 2 * time.Minute

// scanInterval is also how long a scan stays for files that settle. No schedule
// scans again here, and a busy machine takes its time.
const scanInterval = 5 * time.Minute

// Rig is one test's own world.
type Rig struct {
	T *testing.T
	// Ctx ends with the test, and before the test binary's own time-out.
	Ctx context.Context
	// Cfg is a worker's configuration for this world; a test may change it
	// before it uses it.
	Cfg config.Config
	// Env is the environment that Cfg was loaded from, for worker processes.
	Env   []string
	Store *store.Store
	Vault *vault.Vault
	S3    testenv.S3
	AMQP  testenv.AMQP

	// OtherStaging are the staging folders of further workers, for the verdict.
	OtherStaging []string
	// OtherSources are files of odd servers that are expected to arrive.
	OtherSources []oracle.Source

	sources []*testenv.SSHD
	names   []string
}

// New makes the world. It skips the test under -short.
func New(t *testing.T) *Rig {
	t.Helper()
	r := &Rig{T: t, S3: testenv.Bucket(t), AMQP: testenv.Queue(t)}
	dsn := testenv.Database(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*Patience)
	t.Cleanup(cancel)
	r.Ctx = ctx
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.json")
	require.NoError(t, vault.Generate(keys))
	var err error
	r.Vault, err = vault.Open(keys)
	require.NoError(t, err)
	r.Env = []string{
		"STEVEDORE_DATABASE_URL=" + dsn,
		"STEVEDORE_S3_ENDPOINT=" + r.S3.Endpoint, "STEVEDORE_S3_ACCESS_KEY=" + r.S3.AccessKey,
		"STEVEDORE_S3_SECRET_KEY=" + r.S3.SecretKey, "STEVEDORE_S3_BUCKET=" + r.S3.Bucket, "STEVEDORE_S3_USE_TLS=false",
		"STEVEDORE_AMQP_URL=" + r.AMQP.URL, "STEVEDORE_AMQP_QUEUE=" + r.AMQP.Queue,
		"STEVEDORE_STAGING_DIR=" + filepath.Join(dir, "staging"), "STEVEDORE_STAGING_RESERVE_BYTES=0",
		"STEVEDORE_KEYSET_FILE=" + keys, "STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8",
		"STEVEDORE_WORKER_STOP_TIMEOUT=20s",
	}
	r.Cfg, err = config.Load(config.Options{Environ: r.Env})
	require.NoError(t, err)
	r.Store, err = store.New(ctx, store.Config{DatabaseURL: dsn, MaxConns: 3})
	require.NoError(t, err)
	t.Cleanup(r.Store.Close)
	t.Cleanup(r.tellOfFailure)
	return r
}

// AddServer starts an OpenSSH and registers it; change may be nil.
func (r *Rig) AddServer(name string, change func(*ingest.Server)) *testenv.SSHD {
	r.T.Helper()
	sshd := testenv.StartSSHD(r.T, testenv.SSHDOptions{})
	r.Adopt(sshd, name, change)
	return sshd
}

// Adopt registers a server that runs already, and its files are expected to
// arrive; change may be nil.
func (r *Rig) Adopt(sshd *testenv.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	r.T.Helper()
	r.Expect(sshd, name)
	return r.Register(sshd, name, change)
}

// Expect makes the verdict count on a server's files, by whomever it is
// registered.
func (r *Rig) Expect(sshd *testenv.SSHD, name string) {
	r.sources, r.names = append(r.sources, sshd), append(r.names, name)
}

// Register adds a server that runs already and whose files are not expected to
// arrive; change may be nil.
func (r *Rig) Register(sshd *testenv.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	r.T.Helper()
	server := sshd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval = 2*time.Second, scanInterval
	if sshd.Password != "" {
		server.PasswordEncrypted = r.Seal(server.UUID, vault.FieldPassword, []byte(sshd.Password))
	} else {
		server.PrivateKeyEncrypted = r.Seal(server.UUID, vault.FieldPrivateKey, sshd.PrivateKeyPEM)
	}
	if change != nil {
		change(&server)
	}
	server, err := r.Store.AddServer(r.Ctx, server)
	require.NoError(r.T, err)
	return server
}

// Seal encrypts a server's secret as the ledger keeps it.
func (r *Rig) Seal(serverUUID, field string, secret []byte) []byte {
	r.T.Helper()
	sealed, err := r.Vault.Seal(field, serverUUID, secret)
	require.NoError(r.T, err)
	return sealed
}

// File waits until the ledger has a row for the path that satisfies the
// condition, and returns it.
func (r *Rig) File(path string, ok func(ingest.File) bool) (found ingest.File) {
	r.T.Helper()
	return r.FileWithin(Patience, path, ok)
}

// FileWithin is File for what takes its time.
func (r *Rig) FileWithin(patience time.Duration, path string, ok func(ingest.File) bool) (found ingest.File) {
	r.T.Helper()
	var last []ingest.File
	require.Eventually(r.T, func() bool {
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
func (r *Rig) Files() (files []ingest.File) {
	r.T.Helper()
	for page := range r.pages() {
		files = append(files, page...)
	}
	return files
}

// Count is how many rows the ledger has.
func (r *Rig) Count() (n int) {
	r.T.Helper()
	for page := range r.pages() {
		n += len(page)
	}
	return n
}

// pages goes through the ledger's rows.
func (r *Rig) pages() iter.Seq[[]ingest.File] {
	const most = 1000
	return func(yield func([]ingest.File) bool) {
		for after := int64(0); ; {
			page, err := r.Store.Files(r.Ctx, ingest.FileFilter{AfterID: after, Limit: most})
			require.NoError(r.T, err)
			if !yield(page) || len(page) < most {
				return
			}
			after = page[len(page)-1].ID
		}
	}
}

// Events returns what happened to a file.
func (r *Rig) Events(fileUUID string) []ingest.StoredEvent {
	events, err := r.Store.Events(r.Ctx, fileUUID, 0, 1000)
	require.NoError(r.T, err)
	return events
}

// RequireExactlyOnce is how tests of the whole end.
func (r *Rig) RequireExactlyOnce() {
	r.T.Helper()
	var evidence oracle.Evidence
	for _, f := range r.Files() {
		evidence.Rows = append(evidence.Rows, oracle.Row{File: f, Events: r.Events(f.UUID)})
	}
	evidence.Objects, evidence.Messages = r.S3.Objects(r.T), r.AMQP.Messages(r.T)
	evidence.OpenUploads = r.S3.OpenUploads(r.T)
	for _, dir := range append([]string{r.Cfg.Staging.Dir}, r.OtherStaging...) {
		staged, err := os.ReadDir(filepath.Join(dir, "files"))
		require.NoError(r.T, err)
		evidence.Staged += len(staged)
	}
	require.Empty(r.T, oracle.Judge(r.sourceFiles(), evidence))
}

// sourceFiles reads what the servers hold, checksum files aside.
func (r *Rig) sourceFiles() (files []oracle.Source) {
	r.T.Helper()
	for i, sshd := range r.sources {
		err := filepath.WalkDir(sshd.Root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, ".sha256") || strings.HasSuffix(path, "SHA256SUMS") {
				return err
			}
			size, digest, err := digestFile(path)
			files = append(files, oracle.Source{Server: r.names[i], Path: path, Size: size, SHA256: digest})
			return err
		})
		require.NoError(r.T, err)
	}
	return append(files, r.OtherSources...)
}

// digestFile reads a file that may be larger than memory.
func digestFile(path string) (size int64, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	size, err = io.Copy(sum, file)
	return size, hex.EncodeToString(sum.Sum(nil)), err
}

// AddOdd starts an odd SFTP server and registers it; change may be nil. Its
// files are written with WriteOdd, so that the oracle knows of them.
func (r *Rig) AddOdd(name string, change func(*ingest.Server)) *testenv.OddSFTP {
	r.T.Helper()
	odd := testenv.StartOddSFTP(r.T)
	server := odd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval = 2*time.Second, scanInterval
	server.PasswordEncrypted = r.Seal(server.UUID, vault.FieldPassword, []byte(odd.Password))
	if change != nil {
		change(&server)
	}
	_, err := r.Store.AddServer(r.Ctx, server)
	require.NoError(r.T, err)
	return odd
}

// WriteOdd writes a file that is expected to arrive.
func (r *Rig) WriteOdd(odd *testenv.OddSFTP, server, name string, content []byte) {
	odd.Write(name, content)
	r.OtherSources = append(r.OtherSources, oracle.Source{
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

// Detail returns one detail of the first event of the type, or nil.
func Detail(events []ingest.StoredEvent, of ingest.EventType, key string) any {
	for _, e := range events {
		if e.Type == of {
			return e.Details[key]
		}
	}
	return nil
}
