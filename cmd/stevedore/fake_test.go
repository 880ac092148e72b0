package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/wiring"
	"stevedore/workflows"
)

const testUUID = "0f0f0f0f-1111-4222-8333-444444444444"

// serviceFake combines the interfaces that the API needs.
type serviceFake interface {
	operations.Operations
	access.Access
}

// fakeOperations implements the API of the tests. It returns the values that a test sets.
type fakeOperations struct {
	operations.Operations
	access.Access

	err      error
	decided  []string
	changes  string
	refused  map[string]error
	added    operations.NewServer
	servers  []ingest.Server
	tested   operations.TestResult
	asked    operations.TestRequest
	scanned  []string
	run      operations.ScanRun
	status   operations.ScanStatus
	filter   ingest.FileFilter
	files    []ingest.File
	events   []ingest.StoredEvent
	progress map[string]orchestrator.Progress

	edit    operations.ServerEdit
	removed string
	bulk    []operations.BulkRequest
	matched int64
	refuses bool
	bulkErr error

	token  access.NewToken
	tokens []ingest.Token

	listings []ingest.Scan
	failures []ingest.FailureGroup
	log      []ingest.AuditEntry
	logErr   error
	logged   ingest.AuditFilter
	draft    operations.NewServer
	parts    []operations.PartStatus

	audited       []string
	deep          bool
	audit         ingest.AuditRun
	discrepancies []ingest.Discrepancy

	steps   []wiring.StepReport
	only    []string
	rotated operations.RotateRequest
	closed  bool
}

func (f *fakeOperations) Setup(_ context.Context, report func(wiring.StepReport), only ...string) error {
	f.only = only
	for _, step := range f.steps {
		report(step)
	}
	return f.err
}

func (f *fakeOperations) RotateKey(_ context.Context, req operations.RotateRequest) (operations.RotateResult, error) {
	f.rotated = req
	return operations.RotateResult{NewKey: true, Servers: 3, Resealed: 3}, f.err
}

func (f *fakeOperations) Close() { f.closed = true }

func (f *fakeOperations) Authenticate(context.Context, access.Digest) (ingest.Principal, error) {
	return ingest.Principal{}, access.ErrRefused
}

func (f *fakeOperations) BeginRequest(context.Context, ingest.RequestKey, []byte) (ingest.FirstRequest, bool, error) {
	return ingest.FirstRequest{}, true, nil
}

func (f *fakeOperations) EndRequest(context.Context, ingest.RequestKey, []byte) error {
	return nil
}

func (f *fakeOperations) AddServer(_ context.Context, in operations.NewServer) (ingest.Server, error) {
	f.added = in
	in.Server.UUID = testUUID
	return in.Server, f.err
}

func (f *fakeOperations) ListServers(context.Context) ([]ingest.Server, error) {
	return f.servers, f.err
}

func (f *fakeOperations) GetServer(_ context.Context, name string) (ingest.Server, error) {
	for _, s := range f.servers {
		if s.Name == name || s.UUID == name {
			return s, nil
		}
	}
	return ingest.Server{}, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no server is called %q", name)
}

func (f *fakeOperations) EditServer(ctx context.Context, name, version string, edit operations.ServerEdit) (ingest.Server, error) {
	s, err := f.GetServer(ctx, name)
	if err == nil && version != operations.ServerVersion(s) {
		err = ingest.ErrStale
	}
	f.edit = edit
	return s, errors.Join(err, f.err)
}

func (f *fakeOperations) RemoveServer(ctx context.Context, name, version string) (ingest.Server, error) {
	s, err := f.GetServer(ctx, name)
	if err == nil && version != operations.ServerVersion(s) {
		err = ingest.ErrStale
	}
	f.removed = name
	return s, errors.Join(err, f.err)
}

// ActOnFiles handles two files per request and refuses the first of them when refuses is
// set.
func (f *fakeOperations) ActOnFiles(_ context.Context, req operations.BulkRequest) (operations.BulkResult, error) {
	f.bulk = append(f.bulk, req)
	result := operations.BulkResult{Matched: f.matched, Remaining: f.matched}
	if req.DryRun {
		return result, f.err
	}
	result.Done = min(2, f.matched)
	f.matched -= result.Done
	if result.Remaining = f.matched; f.matched > 0 {
		result.Next = fmt.Sprintf("behind-%d", len(f.bulk))
	}
	if f.refuses {
		result.Done--
		result.Failed, result.Failures = 1, []operations.BulkFailure{{FileUUID: fmt.Sprintf("refused-%d", len(f.bulk)), Message: "no"}}
	}
	result.Err = f.bulkErr
	return result, f.err
}

func (f *fakeOperations) TestServer(_ context.Context, _ string, ask operations.TestRequest) (operations.TestResult, error) {
	return f.test(ask)
}

func (f *fakeOperations) TestSettings(_ context.Context, in operations.NewServer, sample bool) (operations.TestResult, error) {
	f.draft = in
	return f.test(operations.TestRequest{Sample: sample})
}

func (f *fakeOperations) TestEdit(_ context.Context, name, _ string, edit operations.ServerEdit, sample bool) (operations.TestResult, error) {
	f.draft.Server.Name = name
	edit.Settings(&f.draft.Server)
	return f.test(operations.TestRequest{Sample: sample})
}

func (f *fakeOperations) test(ask operations.TestRequest) (operations.TestResult, error) {
	f.asked = ask
	result := f.tested
	if ask.Sample {
		result.Presented.Sample = &operations.Sample{Taken: 2, Paths: []string{"/in/a.csv", "/in/b.csv"}, Unmatched: ingest.Unmatched{Count: 1, Example: "/in/a.bak"}, Omitted: []operations.OmittedEntry{
			{Path: "/in/a.bak", Omission: ingest.Omission{Reason: ingest.OmitExcluded, Detail: "*.bak"}}, {Path: "/in/c.csv", Omission: ingest.Omission{Reason: ingest.OmitWaiting, Detail: "its done-marker /in/c.csv.done"}},
		}}
	}
	return result, f.err
}

func (f *fakeOperations) ResolveChanges(_ context.Context, name string, decision ingest.ChangesDecision, part, reason string) (int64, error) {
	f.changes = strings.Join([]string{name, string(decision) + part, reason}, " ")
	return 300, f.err
}

func (f *fakeOperations) PauseServer(ctx context.Context, name string) (ingest.Server, error) {
	s, err := f.GetServer(ctx, name)
	s.Active = false
	return s, err
}

func (f *fakeOperations) ResumeServer(ctx context.Context, name string) (ingest.Server, error) {
	s, err := f.GetServer(ctx, name)
	s.Active = true
	return s, err
}

func (f *fakeOperations) StartScan(_ context.Context, servers []string) (operations.ScanRun, error) {
	f.scanned = servers
	return f.run, f.err
}

// ScanStatus returns a running scan first.
func (f *fakeOperations) GetScan(context.Context, string) (operations.ScanStatus, error) {
	status := f.status
	if status.State != "" {
		f.status.State = ""
		status.State = operations.ScanRunning
		status.Servers = nil
		for _, server := range f.status.Servers {
			server.State, server.Err, server.Files = operations.ScanRunning, nil, map[ingest.Status]int64{ingest.StatusDownloading: 1}
			status.Servers = append(status.Servers, server)
		}
		return status, nil
	}
	status.State = operations.ScanCompleted
	return status, nil
}

func (f *fakeOperations) Ready(context.Context) []operations.PartStatus { return f.parts }

func (f *fakeOperations) ListFiles(_ context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error) {
	if filter.UUID == "" {
		f.filter = filter
		return ingest.Page[ingest.File]{Items: f.files}, f.err
	}
	page := ingest.Page[ingest.File]{}
	for _, file := range f.files {
		if strings.HasPrefix(file.UUID, filter.UUID) {
			page.Items = append(page.Items, file)
		}
	}
	return page, nil
}

func (f *fakeOperations) GetFile(_ context.Context, uuid string) (ingest.File, error) {
	for _, file := range f.files {
		if file.UUID == uuid {
			return file, nil
		}
	}
	return ingest.File{}, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no file has the uuid %q", uuid)
}

func (f *fakeOperations) Progress(_ context.Context, files []ingest.File) map[string]orchestrator.Progress {
	progress := map[string]orchestrator.Progress{}
	for _, file := range files {
		if p, known := f.progress[file.UUID]; known {
			progress[file.UUID] = p
		}
	}
	return progress
}

func (f *fakeOperations) ListFileEvents(context.Context, string, int64, int) (ingest.Page[ingest.StoredEvent], error) {
	return ingest.Page[ingest.StoredEvent]{Items: f.events}, f.err
}

func (f *fakeOperations) ActOnFile(_ context.Context, uuid string, action ingest.Action, d workflows.OperatorAction) (ingest.File, error) {
	f.decided = append(f.decided, fmt.Sprintf("%s %s from %q because %s", action, uuid[:4], d.From, d.Reason))
	if err := f.refused[uuid[:4]]; err != nil {
		return ingest.File{}, err
	}
	return ingest.File{UUID: uuid, RemotePath: "/in/a.csv"}, f.err
}

func (f *fakeOperations) CreateToken(_ context.Context, in access.NewToken) (ingest.Token, string, error) {
	f.token = in
	return ingest.Token{Name: in.Name, Role: in.Role}, "stv_shown", f.err
}

func (f *fakeOperations) ListTokens(context.Context) ([]ingest.Token, error) { return f.tokens, f.err }

func (f *fakeOperations) RevokeToken(_ context.Context, name string) (ingest.Token, error) {
	for _, token := range f.tokens {
		if token.Name == name {
			token.RevokedAt = time.Unix(1, 0)
			return token, nil
		}
	}
	return ingest.Token{}, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no token is called %q", name)
}

// StartAudit returns a running audit, GetAudit its end.
func (f *fakeOperations) StartAudit(_ context.Context, servers []string, deep bool) (ingest.AuditRun, error) {
	f.audited, f.deep = servers, deep
	return ingest.AuditRun{
		UUID: testUUID, State: ingest.AuditRunning, Servers: f.audit.Servers, AuditCounts: f.audit.AuditCounts,
	}, f.err
}

func (f *fakeOperations) GetAudit(context.Context, string) (ingest.AuditRun, error) {
	run := f.audit
	run.UUID = testUUID
	if run.State == "" {
		run.State = ingest.AuditCompleted
	}
	return run, nil
}

func (f *fakeOperations) ListDiscrepancies(context.Context, string, int64, int) (ingest.Page[ingest.Discrepancy], error) {
	return ingest.Page[ingest.Discrepancy]{Items: f.discrepancies}, nil
}

func (f *fakeOperations) ListAudits(ctx context.Context, _ int64, _ int) (ingest.Page[ingest.AuditRun], error) {
	run, err := f.GetAudit(ctx, "")
	return ingest.Page[ingest.AuditRun]{Items: []ingest.AuditRun{run}}, err
}

func (f *fakeOperations) ListScans(context.Context, string, int64, int) (ingest.Page[ingest.Scan], error) {
	return ingest.Page[ingest.Scan]{Items: f.listings}, f.err
}

func (f *fakeOperations) GetServerScan(_ context.Context, id int64) (ingest.Scan, error) {
	for _, listing := range f.listings {
		if listing.ID == id {
			return listing, nil
		}
	}
	return ingest.Scan{}, ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "there is no listing %d", id)
}

func (f *fakeOperations) ListFailures(context.Context, string) ([]ingest.FailureGroup, bool, error) {
	return f.failures, len(f.failures) > 1, f.err
}

// Statistics has counts in the first bucket and the last one.
func (f *fakeOperations) Statistics(ctx context.Context, name string, period ingest.Period) (ingest.Statistics, error) {
	if name != "" {
		if _, err := f.GetServer(ctx, name); err != nil {
			return ingest.Statistics{}, err
		}
	}
	stats := ingest.NewStatistics(period, time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC))
	for _, start := range []time.Time{stats.Buckets[0].Start, stats.At} {
		stats.Add(ingest.HourStats{Start: start, Completed: 3, Bytes: 3 << 20, Failures: 1})
	}
	stats.Servers = []ingest.ServerStats{{ServerUUID: testUUID, ServerName: "acme", Completed: 6, Bytes: 6 << 20, Failures: 2}, {ServerUUID: "s2", ServerName: "globex"}}
	return stats, f.err
}

func (f *fakeOperations) AuditLog(_ context.Context, filter ingest.AuditFilter) (ingest.Page[ingest.AuditEntry], error) {
	f.logged = filter
	page := ingest.Page[ingest.AuditEntry]{}
	for _, entry := range f.log {
		if filter.Action == "" || entry.Action == filter.Action {
			page.Items = append(page.Items, entry)
		}
	}
	return page, f.logErr
}

// call is the outcome of one call of the program.
type call struct {
	code        int
	out, errors string
}

// with changes the app before it runs.
type with func(*app)

func terminal(a *app) { a.stderrSize = func() (int, int) { return 120, 40 } }

// onScreen runs the program on a terminal of the width.
func onScreen(width int) with {
	return func(a *app) { a.stdoutSize = func() (int, int) { return width, 40 } }
}

func args(line ...string) []string { return line }

func person(answer string) with {
	return func(a *app) { a.interactive, a.stdin = true, strings.NewReader(answer) }
}

func stdin(text string) with { return func(a *app) { a.stdin = strings.NewReader(text) } }

func environ(lines ...string) with { return func(a *app) { a.environ = append(a.environ, lines...) } }

// backend is the fake that serves the API and replaces the service's parts.
type backend interface {
	serviceFake
	installation
}

func execute(t *testing.T, ops backend, line []string, options ...with) call {
	t.Helper()
	return executeIn(t, t.Context(), ops, line, options...)
}

func executeIn(t *testing.T, ctx context.Context, ops backend, line []string, options ...with) call {
	t.Helper()
	const token = "canary-token"
	handler := sync.OnceValue(func() http.Handler { // takes most of the time of a call without requests
		return api.NewHandler(api.Deps{Operations: ops, Access: ops, StartTimeout: time.Minute, Token: token, Log: slog.New(slog.DiscardHandler), RequestsPerSecond: 1e6})
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) }))
	defer server.Close()
	var out, errs bytes.Buffer
	a := &app{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, poll: time.Millisecond, now: time.Now,
		environ: []string{"STEVEDORE_API_URL=" + server.URL, "STEVEDORE_TOKEN=" + token, "STEVEDORE_DATABASE_URL=postgres://u:canary-password@127.0.0.1:1/x"},
		open:    func(config.Config, *slog.Logger) (installation, error) { return ops, nil },
	}
	for _, option := range options {
		option(a)
	}
	code := a.run(ctx, line)
	require.NotContains(t, out.String()+errs.String(), "canary")
	return call{code, out.String(), errs.String()}
}
