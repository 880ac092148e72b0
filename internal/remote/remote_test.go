package remote_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/api"
	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/internal/remote"
	"stevedore/internal/store"
	"stevedore/internal/testenv"
	"stevedore/internal/vault"
	"stevedore/workflows"
)

const bootstrap = "canary-bootstrap"

// engine ends every scan at once.
type engine struct {
	admin.Engine

	mu      sync.Mutex
	decided []string
	// travels is the one file whose step is under way, as progress says.
	travels  string
	progress admin.Progress
	// away is a file about which no decision can be taken now.
	away    string
	servers []activities.ServerRef
	// asked counts how often the server's scan was asked for: it runs at first.
	asked int
	// audit is the one that was started.
	audit string
}

func (e *engine) StartAudit(_ context.Context, runUUID string) error {
	e.audit = runUUID
	return nil
}

func (e *engine) StartScan(context.Context, string, workflows.ScanAllServersInput, time.Duration) (string, error) {
	return "run-1", nil
}

func (e *engine) DescribeScan(context.Context, string) (admin.Execution, error) {
	return admin.Execution{RunID: "run-1", ClosedAt: time.Now(), Summary: workflows.ScanSummary{Started: 1, Servers: e.servers}}, nil
}

func (e *engine) DescribeServer(context.Context, string) (admin.Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.asked++; e.asked == 1 {
		return admin.Execution{Running: true}, nil
	}
	return admin.Execution{Err: ingest.Errorf(ingest.KindAuth, "the password was refused")}, nil
}

func (e *engine) Decided(context.Context, string, string) (bool, error) { return false, nil }

func (e *engine) IngestProgress(_ context.Context, fileUUID string) (admin.Progress, bool, error) {
	return e.progress, fileUUID == e.travels, nil
}

func (e *engine) Decide(_ context.Context, fileUUID, update string, d workflows.Decision) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fileUUID == e.away {
		return ingest.Errorf(ingest.KindTransient, "Temporal does not answer")
	}
	e.decided = append(e.decided, update+" by "+d.Actor+" because "+d.Reason)
	return nil
}

type sealer struct{}

func (sealer) Seal(_ string, _ ingest.Server, plaintext []byte) ([]byte, error) {
	return append([]byte("sealed:"), plaintext...), nil
}

func (sealer) Reseal(_, to ingest.Server) (ingest.Server, error) { return to, nil }

func (sealer) Check(context.Context, vault.Canaries) error { return nil }

// bundle is the API on a real ledger, and a Client of it.
type bundle struct {
	*remote.Client
	admin  *admin.Admin
	ledger *store.Store
	engine *engine
	url    string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: testenv.Database(t), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	b := &bundle{ledger: ledger, engine: &engine{}}
	b.admin = admin.New(admin.Deps{
		Ledger: admin.Opened[admin.Ledger](ledger), Sealer: admin.Opened[admin.Sealer](sealer{}), Engine: b.engine, NewUUID: uuid.NewString,
		Checks: []admin.Check{{Part: admin.PartWorker, Run: func(context.Context) error {
			return ingest.Errorf(ingest.KindTransient, "no worker polls")
		}}},
		Defaults: ingest.ServerDefaults{Settle: 10 * time.Second, ScanInterval: time.Minute},
	})
	log := slog.New(slog.DiscardHandler)
	server := httptest.NewServer(api.NewHandler(api.Deps{Operations: b.admin, StartTimeout: time.Minute, Token: bootstrap, Log: log, RequestsPerSecond: 1e6}))
	t.Cleanup(server.Close)
	b.url = server.URL
	b.Client = newClient(t, server.URL, bootstrap)
	return b
}

func newClient(t *testing.T, url, token string) *remote.Client {
	t.Helper()
	c, err := remote.New(remote.Config{URL: url, Token: token, Poll: time.Millisecond, RetryAfter: time.Millisecond})
	require.NoError(t, err)
	return c
}

// TestServerLife: what the API tells of a server is what the ledger says, and
// nobody changes what they have not seen.
func TestServerLife(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	added, err := b.AddServer(ctx, admin.NewServer{
		Server:      ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u", Settle: -1, Include: []string{"*.csv"}, AfterIngest: "move:/done", Port: 2222, Transfer: ingest.TransferStaged},
		Credentials: ingest.Credentials{Password: []byte("canary-password")},
	})
	require.NoError(t, err)
	require.Equal(t, 10*time.Second, added.Settle, "what the service's configuration says")
	require.Equal(t, ingest.TransferStaged, added.Transfer)
	there, err := b.admin.ShowServer(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, oas.FromServer(there), oas.FromServer(added))
	_, err = b.AddServer(ctx, admin.NewServer{Server: ingest.Server{Name: "not a name"}})
	var invalid *admin.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Contains(t, invalid.Error(), "name")

	_, version, err := b.ReadServer(ctx, "acme")
	require.NoError(t, err)
	port, settle, password := 23, "5s", "again"
	edited, err := b.EditServer(ctx, "acme", version, oas.ServerSettings{Port: &port, Settle: &settle, Password: &password})
	require.NoError(t, err)
	require.Equal(t, 23, edited.Port)
	require.Equal(t, []string{"*.csv"}, edited.Include, "what is not named stays")
	_, err = b.EditServer(ctx, "acme", version, oas.ServerSettings{Port: &port})
	require.ErrorIs(t, err, admin.ErrStale)
	_, err = b.RemoveServer(ctx, "acme", version)
	require.ErrorIs(t, err, admin.ErrStale)

	paused, err := b.PauseServer(ctx, added.UUID)
	require.NoError(t, err)
	require.False(t, paused.Active)
	_, err = b.ResumeServer(ctx, "acme")
	require.NoError(t, err)
	list, err := b.ListServers(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	removed, err := b.RemoveServer(ctx, "acme", admin.AnyVersion)
	require.NoError(t, err)
	require.Equal(t, added.UUID, removed.UUID)
	_, err = b.ShowServer(ctx, "acme")
	require.ErrorIs(t, err, admin.ErrNotFound)
}

// parked records files of a server and parks them.
func (b *bundle) parked(t *testing.T, paths ...string) (ingest.Server, []ingest.File) {
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

func TestFilesAndDecisions(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	const odd = "/in/\xff\u202e\x1b[31m<b>.csv"
	_, files := b.parked(t, odd, "/in/b.csv", "/in/c.txt")
	var seen []ingest.File
	filter := ingest.FileFilter{Server: "acme", Statuses: []ingest.Status{ingest.StatusError}, Path: "*.csv"}
	require.NoError(t, b.EachFile(ctx, filter, 0, func(f ingest.File) error { seen = append(seen, f); return nil }))
	require.Len(t, seen, 2)
	require.Equal(t, odd, seen[0].RemotePath, "byte for byte")
	filter.Order = ingest.OrderNewest
	seen = nil
	require.NoError(t, b.EachFile(ctx, filter, 0, func(f ingest.File) error { seen = append(seen, f); return nil }))
	require.Len(t, seen, 2)
	require.Equal(t, odd, seen[1].RemotePath, "the latest first")
	for _, file := range files {
		there, err := b.admin.ShowFile(ctx, file.UUID)
		require.NoError(t, err)
		short, err := b.ShowFile(ctx, file.UUID[:10])
		require.NoError(t, err)
		require.Equal(t, oas.FromFile(there), oas.FromFile(short))
	}
	_, err := b.ShowFile(ctx, uuid.NewString())
	require.ErrorIs(t, err, admin.ErrNotFound)
	_, err = b.ShowFile(ctx, "xyz")
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	events, err := b.Events(ctx, files[0].UUID)
	require.NoError(t, err)
	require.Equal(t, ingest.EventError, events[len(events)-1].Type)
	there, err := b.admin.Events(ctx, files[0].UUID)
	require.NoError(t, err)
	require.Len(t, events, len(there))

	_, err = b.Decide(ctx, files[0].UUID[:8], admin.Retry, workflows.Decision{Reason: "bucket is back", From: ingest.StepUpload})
	require.NoError(t, err)
	require.Equal(t, []string{"retry by bootstrap because bucket is back"}, b.engine.decided)
	two, three := int64(2), int64(3)
	request := admin.BulkRequest{Filter: ingest.FileFilter{Path: "*.csv"}, Action: admin.Skip, Decision: workflows.Decision{Reason: "old"}, Expected: &three}
	_, err = b.DecideAll(ctx, request)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
	request.Expected = &two
	b.engine.away = files[1].UUID
	result, err := b.DecideAll(ctx, request)
	require.NoError(t, err)
	require.EqualValues(t, 1, result.Done)
	require.EqualValues(t, 1, result.Remaining)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(result.Err))
	require.ErrorContains(t, result.Err, "Temporal does not answer")
	b.engine.away, request.Expected, request.Cursor = "", nil, result.Next
	result, err = b.DecideAll(ctx, request)
	require.NoError(t, err)
	require.Equal(t, admin.BulkResult{Matched: 1, Done: 1}, result)
}

func TestProgressIsAsInPlace(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	_, files := b.parked(t, "/in/a", "/in/b", "/in/c")
	for i := range files[:2] {
		require.NoError(t, b.ledger.Apply(ctx, ingest.Change{FileUUID: files[i].UUID, To: ingest.StatusDownloading}))
		files[i].Status = ingest.StatusDownloading
	}
	b.engine.travels = files[0].UUID
	for _, progress := range []admin.Progress{
		{Step: ingest.StepDownload, Attempt: 2, Running: true, Failure: "cut", Host: "h", Done: 3, Total: 9, Rate: 1.5},
		{Step: ingest.StepUpload, Attempt: 7, Paused: true, NextTry: time.Unix(1_800_000_000, 0).UTC()},
	} {
		b.engine.progress = progress
		require.Equal(t, map[string]admin.Progress{files[0].UUID: progress}, b.Progress(ctx, files))
	}
}

func TestScanIsAwaited(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	server, _ := b.parked(t, "/in/a")
	b.engine.servers = []activities.ServerRef{{UUID: server.UUID, Name: server.Name}}
	run, err := b.Scan(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, 1, run.Servers)
	var progress []admin.ScanProgress
	outcome, err := b.WaitScan(ctx, run, func(p admin.ScanProgress) { progress = append(progress, p) })
	require.NoError(t, err)
	require.Equal(t, []admin.ScanProgress{{Done: 0, Total: 1, Files: map[ingest.Status]int64{ingest.StatusError: 1}}}, progress)
	require.Equal(t, ingest.KindAuth, ingest.KindOf(outcome.Err()))
	require.EqualValues(t, 1, outcome.Servers[0].Files[ingest.StatusError])
	require.ErrorContains(t, b.PartReady(ctx, admin.PartWorker), "no worker polls")
	require.NoError(t, b.PartReady(ctx, "another"))
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	token, secret, err := b.CreateToken(ctx, admin.NewToken{Name: "ci", Role: ingest.RoleViewer, Expires: 48 * time.Hour})
	require.NoError(t, err)
	require.Equal(t, "bootstrap", token.CreatedBy)
	require.WithinDuration(t, time.Now().Add(48*time.Hour), token.ExpiresAt, time.Minute)
	short, _, err := b.CreateToken(ctx, admin.NewToken{Name: "short", Role: ingest.RoleViewer, Expires: 12 * time.Hour})
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(12*time.Hour), short.ExpiresAt, time.Minute)
	viewer := newClient(t, b.url, secret)
	_, err = viewer.ListServers(ctx)
	require.NoError(t, err)
	_, err = viewer.Scan(ctx, nil)
	require.ErrorContains(t, err, "role operator")
	require.ErrorContains(t, err, "STEVEDORE_TOKEN")
	_, err = b.RevokeToken(ctx, "ci")
	require.NoError(t, err)
	list, err := b.ListTokens(ctx)
	require.NoError(t, err)
	require.False(t, list[1].RevokedAt.IsZero(), "the latest is first")
	_, err = viewer.ListServers(ctx)
	require.Equal(t, ingest.KindAuth, ingest.KindOf(err))
	require.ErrorContains(t, err, "ask an admin for a token")
	_, err = b.RevokeToken(ctx, "nobody")
	require.ErrorIs(t, err, admin.ErrNotFound)
}

func TestTokenIsAskedFor(t *testing.T) {
	t.Parallel()
	_, err := remote.New(remote.Config{URL: "http://127.0.0.1:1"})
	require.ErrorContains(t, err, "STEVEDORE_TOKEN is not set")
	require.ErrorContains(t, err, "STEVEDORE_DATABASE_URL")
}

// TestTokenStaysWithItsHost: neither the token nor what a request holds goes
// where a redirect points, not even on the same machine.
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
		_, err = c.AddServer(t.Context(), admin.NewServer{Credentials: ingest.Credentials{Password: []byte("canary")}})
		require.ErrorContains(t, err, "redirect")
	}
	require.Zero(t, asked.Load())
}

// flaky drops the first connections before they are answered.
type flaky struct {
	mu   sync.Mutex
	drop int
	keys []string
	// answers are given to those that are not dropped.
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

func TestLostAnswerIsAskedForOnce(t *testing.T) {
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
	run, err := c.Scan(t.Context(), []string{"acme"})
	require.NoError(t, err)
	require.Equal(t, "s1", run.UUID)
	require.Len(t, service.keys, 4)
	for _, key := range service.keys {
		require.Equal(t, service.keys[0], key, "the same request with the same key")
	}
	require.NoError(t, uuid.Validate(strings.Fields(service.keys[0])[1]))

	// Each with connections of its own: Go repeats by itself what failed on one
	// that was used before.
	service.keys, service.drop = nil, 2
	_, err = newClient(t, server.URL, "t").Scan(t.Context(), []string{"acme"})
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "cannot reach the API")
	require.Len(t, service.keys, 2)

	service.keys, service.drop = nil, 1
	_, _, err = newClient(t, server.URL, "t").CreateToken(t.Context(), admin.NewToken{Name: "ci", Role: ingest.RoleViewer})
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
