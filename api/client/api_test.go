package client_test

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/api"
	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

const bootstrap = "canary-bootstrap"

// engine ends each scan immediately.
type engine struct {
	operations.Orchestrator

	mu      sync.Mutex
	decided []string
	// running is the file whose step runs, with this progress.
	running  string
	progress orchestrator.Progress
	// unavailable is a file on which actions fail.
	unavailable string
	servers     []activities.ServerRef
	// described counts the descriptions of the server's scan; it runs in the first one.
	described int
	// audit is the uuid of the started audit.
	audit string
}

func (e *engine) StartAudit(_ context.Context, runUUID string) error {
	e.audit = runUUID
	return nil
}

func (e *engine) AuditRunning(context.Context, string) (bool, error) { return true, nil }

func (e *engine) StartScan(context.Context, string, workflows.ScanAllServersInput, time.Duration) (string, error) {
	return "run-1", nil
}

func (e *engine) DescribeScan(context.Context, string) (orchestrator.Execution, error) {
	return orchestrator.Execution{RunID: "run-1", ClosedAt: time.Now(), Summary: workflows.ScanSummary{Started: 1, Servers: e.servers}}, nil
}

func (e *engine) DescribeServer(context.Context, string) (orchestrator.Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.described++; e.described == 1 {
		return orchestrator.Execution{Running: true}, nil
	}
	return orchestrator.Execution{Err: ingest.Errorf(ingest.KindAuth, "the password was refused")}, nil
}

func (e *engine) Accepted(context.Context, string, string) (bool, error) { return false, nil }

func (e *engine) IngestProgress(_ context.Context, fileUUID string) (orchestrator.Progress, bool, error) {
	return e.progress, fileUUID == e.running, nil
}

func (e *engine) Act(_ context.Context, fileUUID, update string, d workflows.OperatorAction) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fileUUID == e.unavailable {
		return ingest.Errorf(ingest.KindTransient, "Temporal does not answer")
	}
	e.decided = append(e.decided, update+" by "+d.Actor+" because "+d.Reason)
	return nil
}

// bundle is the API on a real ledger, and a client of it.
type bundle struct {
	*client.API
	admin  *operations.Service
	ledger *store.Store
	engine *engine
	url    string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	log := slog.New(slog.DiscardHandler)
	b := &bundle{ledger: ledger, engine: &engine{}}
	b.admin = operations.New(operations.Deps{
		Ledger: ledger, Keyring: operations.Provide[operations.Keyring](services.Keyset(t)), Orchestrator: b.engine, NewUUID: uuid.NewString,
		Checks: []operations.Check{{Part: operations.PartWorker, Run: func(context.Context) error {
			return ingest.Errorf(ingest.KindTransient, "no worker polls")
		}}},
		Defaults: ingest.ServerDefaults{Settle: 10 * time.Second, ScanInterval: time.Minute},
	})
	server := httptest.NewServer(api.NewHandler(api.Deps{Operations: b.admin, Access: access.New(ledger, log), StartTimeout: time.Minute, Token: bootstrap, Log: log, RequestsPerSecond: 1e6}))
	t.Cleanup(server.Close)
	b.url = server.URL
	b.API = newClient(t, server.URL, bootstrap)
	return b
}

func newClient(t *testing.T, url, token string) *client.API {
	t.Helper()
	c, err := client.New(client.Config{URL: url, Token: token, Poll: time.Millisecond, RetryAfter: time.Millisecond})
	require.NoError(t, err)
	return c
}

// TestServerLife: the client returns the servers of the ledger, and refuses changes of a
// version that the caller has not read.
func TestServerLife(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	added, err := b.CreateServer(ctx, openapi.ServerSettings{
		Name: ptr("acme"), Host: ptr("sftp.example.com"), Username: ptr("u"), Include: &[]string{"*.csv"}, AfterIngest: ptr("move:/done"),
		Port: ptr(2222), Transfer: ptr(openapi.ServerSettingsTransfer("staged")), Password: ptr("canary-password"),
	})
	require.NoError(t, err)
	require.Equal(t, "10s", added.Settle, "the service's default")
	require.Equal(t, "staged", added.Transfer)
	there, err := b.admin.GetServer(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, openapi.FromServer(there), added)
	_, err = b.CreateServer(ctx, openapi.ServerSettings{Name: ptr("not a name")})
	var invalid *ingest.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Contains(t, invalid.Error(), "name: use letters")
	require.NotContains(t, invalid.Error(), "regular expression")

	_, version, err := b.Server(ctx, "acme")
	require.NoError(t, err)
	edited, err := b.EditServer(ctx, "acme", &openapi.EditServerParams{IfMatch: &version}, openapi.ServerSettings{Port: ptr(23), Settle: ptr("5s"), Password: ptr("again")})
	require.NoError(t, err)
	require.Equal(t, 23, edited.Port)
	require.Equal(t, []string{"*.csv"}, edited.Include, "what is not named stays")
	_, err = b.EditServer(ctx, "acme", &openapi.EditServerParams{IfMatch: &version}, openapi.ServerSettings{Port: ptr(23)})
	require.ErrorIs(t, err, ingest.ErrStale)
	_, err = b.RemoveServer(ctx, "acme", &openapi.RemoveServerParams{IfMatch: &version})
	require.ErrorIs(t, err, ingest.ErrStale)

	paused, err := b.PauseServer(ctx, added.ServerUUID)
	require.NoError(t, err)
	require.False(t, paused.IsActive)
	_, err = b.ResumeServer(ctx, "acme")
	require.NoError(t, err)
	list, err := b.ListServers(ctx)
	require.NoError(t, err)
	require.Len(t, list.Servers, 1)
	_, version, err = b.Server(ctx, "acme")
	require.NoError(t, err)
	_, err = b.RemoveServer(ctx, "acme", &openapi.RemoveServerParams{IfMatch: &version})
	require.NoError(t, err)
	_, _, err = b.Server(ctx, "acme")
	require.ErrorIs(t, err, ingest.ErrNotFound)
}

func ptr[T any](value T) *T { return &value }

// failed records files of a server and fails them.
func (b *bundle) failed(t *testing.T, paths ...string) (ingest.Server, []ingest.File) {
	t.Helper()
	ctx := t.Context()
	server, err := b.ledger.AddServer(ctx, ingest.Server{
		Name: "acme", Host: "h", Username: "u", Active: true, Settle: time.Second, ScanInterval: time.Minute, PasswordEncrypted: []byte("x"),
	})
	require.NoError(t, err)
	var seen []ingest.Observation
	for _, path := range paths {
		seen = append(seen, ingest.Observation{Path: path, Size: 1, ModTime: time.Unix(1_700_000_000, 0)})
	}
	_, err = b.ledger.Observe(ctx, server.UUID, "manual", seen)
	require.NoError(t, err)
	files, err := b.ledger.Files(ctx, ingest.FileFilter{})
	require.NoError(t, err)
	for _, file := range files {
		require.NoError(t, b.ledger.Apply(ctx, ingest.Change{
			FileUUID: file.UUID, To: ingest.StatusError, Events: []ingest.Event{{Type: ingest.EventError, Details: map[string]any{"step": "download"}}},
			Set: ingest.Columns{Error: &ingest.Failure{Kind: ingest.KindPermission, Message: "denied"}},
		}))
	}
	return server, files
}

func TestFilesAndActions(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	const odd = "/in/\xff\u202e\x1b[31m<b>.csv"
	_, files := b.failed(t, odd, "/in/b.csv", "/in/c.txt")
	params := openapi.ListFilesParams{Server: ptr("acme"), Status: &[]openapi.FileStatus{"error"}, Path: ptr("*.csv")}
	list := func() (paths []string) {
		for file, err := range b.ListFiles(ctx, params, 0) {
			require.NoError(t, err)
			raw, err := base64.StdEncoding.DecodeString(file.RemotePathBase64)
			require.NoError(t, err)
			paths = append(paths, string(raw))
		}
		return paths
	}
	require.Equal(t, []string{odd, "/in/b.csv"}, list(), "byte for byte")
	params.Order = ptr(openapi.FileOrder(ingest.OrderNewest))
	require.Equal(t, []string{"/in/b.csv", odd}, list(), "the latest first")
	for _, file := range files {
		there, err := b.admin.GetFile(ctx, file.UUID)
		require.NoError(t, err)
		short, err := b.File(ctx, file.UUID[:10])
		require.NoError(t, err)
		require.Equal(t, openapi.FromFile(there), short)
	}
	_, err := b.File(ctx, uuid.NewString())
	require.ErrorIs(t, err, ingest.ErrNotFound)
	_, err = b.File(ctx, "xyz")
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	var events []openapi.Event
	for event, err := range b.ListFileEvents(ctx, files[0].UUID, openapi.ListFileEventsParams{}, 0) {
		require.NoError(t, err)
		events = append(events, event)
	}
	require.EqualValues(t, ingest.EventError, events[len(events)-1].EventType)
	there, err := b.admin.FileEvents(ctx, files[0].UUID)
	require.NoError(t, err)
	require.Len(t, events, len(there))

	require.NoError(t, b.ActOnFile(ctx, ingest.ActionRetry, files[0].UUID, "bucket is back", ptr(openapi.StepName(ingest.StepUpload))))
	require.Equal(t, []string{"retry by bootstrap because bucket is back"}, b.engine.decided)
	decision := openapi.BulkActionRequest{Filter: openapi.FileSelection{Path: ptr("*.csv")}, Reason: "old", ExpectedCount: ptr(int64(3))}
	_, err = b.ActOnFiles(ctx, ingest.ActionSkip, decision)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
	decision.ExpectedCount = ptr(int64(2))
	b.engine.unavailable = files[1].UUID
	result, err := b.ActOnFiles(ctx, ingest.ActionSkip, decision)
	require.NoError(t, err)
	require.EqualValues(t, 1, result.Done)
	require.EqualValues(t, 1, result.Remaining)
	require.Contains(t, *result.Error, "Temporal does not answer")
	b.engine.unavailable, decision.ExpectedCount, decision.Cursor = "", nil, result.NextCursor
	result, err = b.ActOnFiles(ctx, ingest.ActionSkip, decision)
	require.NoError(t, err)
	require.Equal(t, openapi.BulkResult{Matched: 1, Done: 1, Failures: []openapi.BulkFailure{}}, result)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	_, files := b.failed(t, "/in/a", "/in/b", "/in/c")
	for i := range files[:2] {
		require.NoError(t, b.ledger.Apply(ctx, ingest.Change{FileUUID: files[i].UUID, To: ingest.StatusDownloading}))
		files[i].Status = ingest.StatusDownloading
	}
	var shown []openapi.File
	for _, file := range files {
		shown = append(shown, openapi.FromFile(file))
	}
	b.engine.running = files[0].UUID
	for _, progress := range []orchestrator.Progress{
		{Step: ingest.StepDownload, Attempt: 2, Running: true, Failure: "cut", Host: "h", Done: 3, Total: 9, Rate: 1.5},
		{Step: ingest.StepUpload, Attempt: 7, Paused: true, NextTry: time.Unix(1_800_000_000, 0).UTC()},
	} {
		b.engine.progress = progress
		require.Equal(t, map[string]openapi.Progress{files[0].UUID: *openapi.FromProgress(progress)}, b.Progress(ctx, shown))
	}
}

func TestScanIsAwaited(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	server, _ := b.failed(t, "/in/a")
	b.engine.servers = []activities.ServerRef{{UUID: server.UUID, Name: server.Name}}
	accepted, err := b.StartScan(ctx, nil, openapi.ScanRequest{})
	require.NoError(t, err)
	require.Equal(t, 1, accepted.Servers)
	require.Empty(t, accepted.Suspended)
	var states []openapi.ScanState
	scan, err := b.WaitScan(ctx, accepted.ScanUUID, func(s openapi.Scan) { states = append(states, s.Servers[0].State) })
	require.NoError(t, err)
	require.Equal(t, []openapi.ScanState{openapi.ScanRunning}, states)
	require.Equal(t, string(ingest.KindAuth), *scan.Servers[0].ErrorKind)
	require.EqualValues(t, 1, scan.Servers[0].Files["error"])
	require.ErrorContains(t, b.CheckPart(ctx, operations.PartWorker), "no worker polls")
	require.NoError(t, b.CheckPart(ctx, "another"))
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	token, err := b.CreateToken(ctx, openapi.TokenRequest{Name: "ci", Role: "viewer", ExpiresInSeconds: ptr(int64(48 * 3600))})
	require.NoError(t, err)
	require.Equal(t, "bootstrap", token.CreatedBy)
	require.WithinDuration(t, time.Now().Add(48*time.Hour), *token.ExpiresAt, time.Minute)
	viewer := newClient(t, b.url, token.Token)
	_, err = viewer.ListServers(ctx)
	require.NoError(t, err)
	_, err = viewer.StartScan(ctx, nil, openapi.ScanRequest{})
	require.ErrorContains(t, err, "role operator")
	require.ErrorContains(t, err, "STEVEDORE_TOKEN")
	_, err = b.RevokeToken(ctx, "ci")
	require.NoError(t, err)
	list, err := b.ListTokens(ctx)
	require.NoError(t, err)
	require.NotNil(t, list.Tokens[0].RevokedAt)
	_, err = viewer.ListServers(ctx)
	require.Equal(t, ingest.KindAuth, ingest.KindOf(err))
	require.ErrorContains(t, err, "ask an admin for a token")
	_, err = b.RevokeToken(ctx, "unknown")
	require.ErrorIs(t, err, ingest.ErrNotFound)
}

func TestTokenIsAskedFor(t *testing.T) {
	t.Parallel()
	_, err := client.New(client.Config{URL: "http://127.0.0.1:1"})
	require.ErrorContains(t, err, "STEVEDORE_TOKEN is not set")
	_, err = client.New(client.Config{URL: "http://ann:s3cret@127.0.0.1:1", Token: "x"})
	require.ErrorContains(t, err, "has a user or password")
	require.NotContains(t, err.Error(), "s3cret")
}

// TestTokenStaysWithItsHost: neither the token nor the body of a request is sent to the
// target of a redirect, even on the same machine.
func TestTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(thief.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		host := httptest.NewServer(http.RedirectHandler(thief.URL+"/api/v1/servers", status))
		t.Cleanup(host.Close)
		c := newClient(t, host.URL, "canary-token")
		_, err := c.ListServers(t.Context())
		require.ErrorContains(t, err, "redirect")
		require.ErrorContains(t, err, "STEVEDORE_API_URL")
		_, err = c.CreateServer(t.Context(), openapi.ServerSettings{Password: ptr("canary")})
		require.ErrorContains(t, err, "redirect")
	}
	require.Zero(t, asked.Load())
}

// flaky drops the first connections without a response.
type flaky struct {
	mu   sync.Mutex
	drop int
	keys []string
	// answers are the responses to the other requests.
	answers []http.HandlerFunc
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	f.keys = append(f.keys, r.Method+" "+r.Header.Get("Idempotency-Key")+" "+string(body))
	if f.drop > 0 {
		f.drop--
		panic(http.ErrAbortHandler)
	}
	answer := f.answers[0]
	f.answers = f.answers[1:]
	answer(w, r)
}

func TestRequestWithoutResponseIsRepeated(t *testing.T) {
	t.Parallel()
	accepted := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		_, _ = io.WriteString(w, `{"scan_uuid":"s1"}`)
	}
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(409)
		_, _ = io.WriteString(w, `{"code":"conflict","detail":"still under way"}`)
	}
	service := &flaky{drop: 1, answers: []http.HandlerFunc{busy, busy, accepted}}
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	c := newClient(t, server.URL, "t")
	run, err := c.StartScan(t.Context(), nil, openapi.ScanRequest{Servers: &[]string{"acme"}})
	require.NoError(t, err)
	require.Equal(t, "s1", run.ScanUUID)
	require.Len(t, service.keys, 4)
	for _, key := range service.keys {
		require.Equal(t, service.keys[0], key, "the same request with the same key")
	}
	require.NoError(t, uuid.Validate(strings.Fields(service.keys[0])[1]))

	// New clients, because Go itself repeats requests on reused connections.
	service.keys, service.drop = nil, 2
	_, err = newClient(t, server.URL, "t").StartScan(t.Context(), nil, openapi.ScanRequest{Servers: &[]string{"acme"}})
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "cannot reach the API")
	require.Len(t, service.keys, 2)

	service.keys, service.drop = nil, 1
	_, err = newClient(t, server.URL, "t").CreateToken(t.Context(), openapi.TokenRequest{Name: "ci", Role: "viewer"})
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.Len(t, service.keys, 1, "a secret cannot be shown again")
}

func TestOtherServicesAreRecognized(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]ingest.Kind{404: ingest.KindInvalid, 200: ingest.KindInvalid, 502: ingest.KindTransient, 429: ingest.KindTransient} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>\x1b[31m")
		}))
		t.Cleanup(server.Close)
		_, err := newClient(t, server.URL, "t").ListServers(t.Context())
		require.Equal(t, kind, ingest.KindOf(err), status)
		require.ErrorContains(t, err, server.URL)
	}
}

// TestPrivateAPI: the private API of `stevedore break-glass` records the user's name, and
// nothing listens afterwards.
func TestPrivateAPI(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, credentials.Generate(keys))
	cfg, err := config.Load(config.Options{Environ: []string{"STEVEDORE_DATABASE_URL=" + services.Database(t), "STEVEDORE_KEYSET_FILE=" + keys}})
	require.NoError(t, err)
	url, token, stop, err := api.ServePrivately(t.Context(), cfg, slog.New(slog.DiscardHandler), "test", "cli:ann")
	require.NoError(t, err)
	made, err := newClient(t, url, token).CreateToken(t.Context(), openapi.TokenRequest{Name: "emergency", Role: "admin"})
	require.NoError(t, err)
	require.Equal(t, "cli:ann", made.CreatedBy)
	_, err = newClient(t, url, "another").ListServers(t.Context())
	require.Equal(t, ingest.KindAuth, ingest.KindOf(err))
	stop()
	_, err = newClient(t, url, token).ListServers(t.Context())
	require.ErrorContains(t, err, "cannot reach the API")
}
