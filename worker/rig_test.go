package worker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
	"stevedore/internal/store"
	"stevedore/internal/testenv"
	"stevedore/internal/vault"
	"stevedore/worker"
	"stevedore/workflows"
)

// patience bounds every wait; it is long because machines that run all tests
// at once are slow, and costs nothing when all is well.
const patience = 2 * time.Minute

// rig is one test's own world: a worker over real parts of its own.
type rig struct {
	t        *testing.T
	ctx      context.Context
	cfg      config.Config
	store    *store.Store
	vault    *vault.Vault
	s3       testenv.S3
	amqp     testenv.AMQP
	temporal client.Client
	queue    string
	sources  []*testenv.SSHD
	names    []string
	lastScan string // workflow id
}

// newRig makes the parts; startWorker makes them work.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, s3: testenv.Bucket(t), amqp: testenv.Queue(t)}
	dsn := testenv.Database(t)
	r.temporal, r.queue = testenv.Temporal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	t.Cleanup(cancel)
	r.ctx = ctx
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.json")
	require.NoError(t, vault.Generate(keys))
	var err error
	r.vault, err = vault.Open(keys)
	require.NoError(t, err)
	r.cfg, err = config.Load(config.Options{Environ: []string{
		"STEVEDORE_DATABASE_URL=" + dsn,
		"STEVEDORE_S3_ENDPOINT=" + r.s3.Endpoint, "STEVEDORE_S3_ACCESS_KEY=" + r.s3.AccessKey,
		"STEVEDORE_S3_SECRET_KEY=" + r.s3.SecretKey, "STEVEDORE_S3_BUCKET=" + r.s3.Bucket, "STEVEDORE_S3_USE_TLS=false",
		"STEVEDORE_AMQP_URL=" + r.amqp.URL, "STEVEDORE_AMQP_QUEUE=" + r.amqp.Queue,
		"STEVEDORE_STAGING_DIR=" + filepath.Join(dir, "staging"), "STEVEDORE_STAGING_RESERVE_BYTES=0",
		"STEVEDORE_KEYSET_FILE=" + keys, "STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8",
		"STEVEDORE_WORKER_STOP_TIMEOUT=20s",
	}})
	require.NoError(t, err)
	r.store, err = store.New(ctx, store.Config{DatabaseURL: dsn, MaxConns: 3})
	require.NoError(t, err)
	t.Cleanup(r.store.Close)
	return r
}

// startWorker runs a worker until stop is called or the test ends.
func (r *rig) startWorker() (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	ended := make(chan error, 1)
	go func() { ended <- worker.RunWith(ctx, r.cfg, r.temporal, r.queue, slog.New(slog.DiscardHandler)) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(r.t, <-ended)
		}
	}
	r.t.Cleanup(stop)
	return stop
}

// addServer starts an OpenSSH and registers it; change may be nil.
func (r *rig) addServer(name string, change func(*ingest.Server)) *testenv.SSHD {
	r.t.Helper()
	sshd := testenv.StartSSHD(r.t, testenv.SSHDOptions{})
	r.register(sshd, name, change)
	r.sources, r.names = append(r.sources, sshd), append(r.names, name)
	return sshd
}

func (r *rig) register(sshd *testenv.SSHD, name string, change func(*ingest.Server)) ingest.Server {
	r.t.Helper()
	server := sshd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval = 2*time.Second, 5*time.Second
	if sshd.Password != "" {
		server.PasswordEncrypted = r.seal(server.UUID, vault.FieldPassword, []byte(sshd.Password))
	} else {
		server.PrivateKeyEncrypted = r.seal(server.UUID, vault.FieldPrivateKey, sshd.PrivateKeyPEM)
	}
	if change != nil {
		change(&server)
	}
	server, err := r.store.AddServer(r.ctx, server)
	require.NoError(r.t, err)
	return server
}

func (r *rig) seal(serverUUID, field string, secret []byte) []byte {
	r.t.Helper()
	sealed, err := r.vault.Seal(field, serverUUID, secret)
	require.NoError(r.t, err)
	return sealed
}

// scan starts a scan of all servers and returns its summary.
func (r *rig) scan() workflows.ScanSummary {
	r.t.Helper()
	r.lastScan = ingest.ScanWorkflowID(uuid.NewString())
	run, err := r.temporal.ExecuteWorkflow(r.ctx, client.StartWorkflowOptions{
		ID: r.lastScan, TaskQueue: r.queue,
	}, workflows.NameScanAllServers, workflows.ScanAllServersInput{Force: true, Source: "manual"})
	require.NoError(r.t, err)
	var summary workflows.ScanSummary
	require.NoError(r.t, run.Get(r.ctx, &summary))
	return summary
}

// awaitScans waits until every server's DiscoverFiles has ended.
func (r *rig) awaitScans(summary workflows.ScanSummary) {
	r.t.Helper()
	for _, s := range summary.Servers {
		_ = r.temporal.GetWorkflow(r.ctx, ingest.DiscoverWorkflowID(s.UUID), "").Get(r.ctx, nil)
	}
}

// scanAndWait scans and waits until nothing is left to do.
func (r *rig) scanAndWait() {
	r.t.Helper()
	r.awaitScans(r.scan())
}

// file waits until the ledger has a row for the path that satisfies the
// condition, and returns it.
func (r *rig) file(path string, ok func(ingest.File) bool) (found ingest.File) {
	r.t.Helper()
	var last []ingest.File
	require.Eventually(r.t, func() bool {
		last = nil
		for _, f := range r.files() {
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

func (r *rig) files() []ingest.File {
	files, err := r.store.Files(r.ctx, ingest.FileFilter{Limit: 1000})
	require.NoError(r.t, err)
	return files
}

func (r *rig) events(fileUUID string) []ingest.StoredEvent {
	events, err := r.store.Events(r.ctx, fileUUID, 0, 1000)
	require.NoError(r.t, err)
	return events
}

// requireExactlyOnce is how tests of the whole end.
func (r *rig) requireExactlyOnce() {
	r.t.Helper()
	var evidence oracle.Evidence
	for _, f := range r.files() {
		evidence.Rows = append(evidence.Rows, oracle.Row{File: f, Events: r.events(f.UUID)})
	}
	evidence.Objects, evidence.Messages = r.s3.Objects(r.t), r.amqp.Messages(r.t)
	evidence.OpenUploads = r.s3.OpenUploads(r.t)
	staged, err := os.ReadDir(filepath.Join(r.cfg.Staging.Dir, "files"))
	require.NoError(r.t, err)
	evidence.Staged = len(staged)
	require.Empty(r.t, oracle.Judge(r.sourceFiles(), evidence))
}

// sourceFiles reads what the servers hold, checksum files aside.
func (r *rig) sourceFiles() (files []oracle.Source) {
	r.t.Helper()
	for i, sshd := range r.sources {
		err := filepath.WalkDir(sshd.Root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, ".sha256") || strings.HasSuffix(path, "SHA256SUMS") {
				return err
			}
			content, err := os.ReadFile(path)
			sum := sha256.Sum256(content)
			files = append(files, oracle.Source{
				Server: r.names[i], Path: path, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
			})
			return err
		})
		require.NoError(r.t, err)
	}
	return files
}
