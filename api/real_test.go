package api

import (
	"context"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/access"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// fakeEngine accepts all requests.
type fakeEngine struct {
	// endAudit, may be nil, ends an audit directly after its start, because only one may run.
	endAudit func(ctx context.Context, runUUID, failure string) error
	operations.Orchestrator

	mu      sync.Mutex
	started int // number of workflows and actions
	decided []string
	err     error
	// blocked, if not nil, delays operator actions until it is closed.
	blocked chan struct{}
}

// fail makes all later calls return the error; nil ends this.
func (e *fakeEngine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

func (e *fakeEngine) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// start counts a request to start something.
func (e *fakeEngine) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.started++
	return e.err
}

func (e *fakeEngine) startedCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started
}

func (e *fakeEngine) StartScan(context.Context, string, workflows.ScanAllServersInput, time.Duration) (string, error) {
	return "run-1", e.start()
}

func (e *fakeEngine) DescribeScan(context.Context, string) (orchestrator.Execution, error) {
	return orchestrator.Execution{RunID: "run-1", Running: true, StartedAt: time.Unix(1, 0)}, e.failure()
}

func (e *fakeEngine) Act(_ context.Context, fileUUID, update string, d workflows.OperatorAction) error {
	err := e.start()
	e.mu.Lock()
	e.decided = append(e.decided, update+" "+fileUUID+" by "+d.Actor)
	e.mu.Unlock()
	if e.blocked != nil {
		<-e.blocked
	}
	return err
}

func (e *fakeEngine) Accepted(context.Context, string, string) (bool, error) { return false, nil }

func (e *fakeEngine) IngestProgress(context.Context, string) (orchestrator.Progress, bool, error) {
	return orchestrator.Progress{Step: ingest.StepDownload, Attempt: 1, Running: true, Done: 1, Total: 2, Rate: 1}, true, nil
}

func (e *fakeEngine) StartAudit(ctx context.Context, runUUID string) error {
	if err := e.start(); err != nil || e.endAudit == nil {
		return err
	}
	return e.endAudit(ctx, runUUID, "")
}

func (e *fakeEngine) AuditRunning(context.Context, string) (bool, error) { return true, nil }

func (e *fakeEngine) StartIngest(context.Context, ingest.File, workflows.FileIngestInput) error {
	return e.start()
}

func (e *fakeEngine) Reprocess(context.Context, ingest.File, workflows.FileIngestInput) error {
	return e.start()
}

// fakeProber presents one host key and accepts logins of servers with this key pinned.
type fakeProber struct{ presented operations.ProbeResult }

func (p fakeProber) Probe(_ context.Context, s ingest.Server, _ bool) (operations.ProbeResult, error) {
	for _, line := range s.HostKeys {
		if operations.Fingerprint(line) == p.presented.Fingerprint {
			return p.presented, nil
		}
	}
	return p.presented, ingest.Errorf(ingest.KindHostKey, "the key is not pinned")
}

func (p fakeProber) ProbeDraft(ctx context.Context, draft operations.Draft, sample bool) (operations.ProbeResult, error) {
	return p.Probe(ctx, draft.Server, sample)
}

// realBundle is the API with a real ledger, a fake Temporal and fake partners'
// servers.
type realBundle struct {
	*testBundle
	admin  *operations.Service
	tokens *access.Service
	store  *store.Store
	keys   *credentials.Sealer
	engine *fakeEngine
	prober fakeProber
}

func setupReal(t *testing.T) *realBundle {
	t.Helper()
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 6})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	b := &realBundle{testBundle: setup(&servicedouble.Service{}), store: ledger, keys: services.Keyset(t), engine: &fakeEngine{}}
	line := string(ssh.MarshalAuthorizedKey(key))
	b.prober.presented = operations.ProbeResult{Fingerprint: ssh.FingerprintSHA256(key), KeyLine: line[:len(line)-1], Software: "SSH-2.0-x", Entries: 3}
	ops := operations.New(operations.Deps{
		Ledger: ledger, Keyring: operations.Provide[operations.Keyring](b.keys),
		Prober: b.prober, Orchestrator: b.engine, NewUUID: uuid.NewString,
		Checks:   []operations.Check{{Part: "temporal", Run: func(context.Context) error { return b.engine.failure() }}},
		Defaults: ingest.ServerDefaults{Settle: 10 * time.Second, ScanInterval: time.Minute},
	})
	b.admin, b.tokens = ops, access.New(ledger, quiet())
	b.handler = NewHandler(Deps{Operations: ops, Access: b.tokens, StartTimeout: time.Minute, Token: testToken, Log: quiet(), RequestsPerSecond: 1e6})
	return b
}

func (b *realBundle) server(t *testing.T, name string) ingest.Server {
	t.Helper()
	server, err := b.keys.SealAll(ingest.Server{
		UUID: uuid.NewString(), Name: name, Host: "sftp.example.com", Port: 22, Username: "u", Active: true, Settle: time.Second, ScanInterval: time.Minute,
	}, ingest.Credentials{Password: []byte("password")})
	require.NoError(t, err)
	server, err = b.store.AddServer(t.Context(), server)
	require.NoError(t, err)
	return server
}

// failed records a file in status error.
func (b *realBundle) failed(t *testing.T, server ingest.Server, path string) ingest.File {
	t.Helper()
	ctx := t.Context()
	_, err := b.store.Observe(ctx, server.UUID, "manual", []ingest.Observation{{Path: path, Size: 1, ModTime: time.Unix(1_700_000_000, 0)}})
	require.NoError(t, err)
	files, err := b.store.Files(ctx, ingest.FileFilter{Server: server.UUID, Limit: 1000})
	require.NoError(t, err)
	file := files[len(files)-1]
	require.NoError(t, b.store.Apply(ctx, ingest.Change{
		FileUUID: file.UUID, To: ingest.StatusError, Events: []ingest.Event{{Type: ingest.EventError, Details: map[string]any{"step": "download"}}},
		Set: ingest.Columns{Error: &ingest.Failure{Kind: ingest.KindPermission, Message: "denied"}},
	}))
	return file
}
