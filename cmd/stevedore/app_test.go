package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
	"stevedore/workflows"
)

const testUUID = "0f0f0f0f-1111-4222-8333-444444444444"

// fakeOperations answers with what a test puts in.
type fakeOperations struct {
	err      error
	decided  []string
	changes  string
	refused  map[string]error
	steps    []admin.StepReport
	only     []string
	added    admin.NewServer
	servers  []ingest.Server
	tested   admin.TestResult
	approved string
	scanned  []string
	run      admin.ScanRun
	outcome  admin.ScanOutcome
	filter   ingest.FileFilter
	limit    int
	files    []ingest.File
	events   []ingest.StoredEvent
	closed   bool
	progress map[string]admin.Progress

	rotated admin.RotateRequest
	version string
	edited  oas.ServerSettings
	removed string
	bulk    []admin.BulkRequest
	matched int64
	refuses bool
	bulkErr error

	token  admin.NewToken
	tokens []ingest.Token

	audited     admin.AuditRequest
	differences []oracle.Difference
	audit       admin.AuditSummary
}

func (f *fakeOperations) Setup(_ context.Context, report func(admin.StepReport), only ...string) error {
	f.only = only
	for _, step := range f.steps {
		report(step)
	}
	return f.err
}

func (f *fakeOperations) AddServer(_ context.Context, in admin.NewServer) (ingest.Server, error) {
	f.added = in
	in.Server.UUID = testUUID
	return in.Server, f.err
}

func (f *fakeOperations) ListServers(context.Context) ([]ingest.Server, error) {
	return f.servers, f.err
}

func (f *fakeOperations) ShowServer(_ context.Context, name string) (ingest.Server, error) {
	for _, s := range f.servers {
		if s.Name == name || s.UUID == name {
			return s, nil
		}
	}
	return ingest.Server{}, ingest.Wrap(ingest.KindMissing, admin.ErrNotFound, "no server is called %q", name)
}

func (f *fakeOperations) ReadServer(ctx context.Context, name string) (ingest.Server, string, error) {
	s, err := f.ShowServer(ctx, name)
	return s, f.version, err
}

func (f *fakeOperations) EditServer(ctx context.Context, name, version string, settings oas.ServerSettings) (ingest.Server, error) {
	s, err := f.ShowServer(ctx, name)
	if err == nil && version != f.version {
		err = admin.ErrStale
	}
	f.edited = settings
	return s, errors.Join(err, f.err)
}

func (f *fakeOperations) RemoveServer(ctx context.Context, name, version string) (ingest.Server, error) {
	s, err := f.ShowServer(ctx, name)
	if err == nil && version != f.version {
		err = admin.ErrStale
	}
	f.removed = name
	return s, errors.Join(err, f.err)
}

// DecideAll looks at no more than two files at once, and refuses the first of
// them if it is told so.
func (f *fakeOperations) DecideAll(_ context.Context, req admin.BulkRequest) (admin.BulkResult, error) {
	f.bulk = append(f.bulk, req)
	result := admin.BulkResult{Matched: f.matched, Remaining: f.matched}
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
		result.Failed, result.Failures = 1, []admin.BulkFailure{{FileUUID: fmt.Sprintf("refused-%d", len(f.bulk)), Message: "no"}}
	}
	result.Err = f.bulkErr
	return result, f.err
}

func (f *fakeOperations) TestServer(_ context.Context, _ string, ask admin.TestRequest) (admin.TestResult, error) {
	f.approved = ask.Approve
	return f.tested, f.err
}

func (f *fakeOperations) DecideChanges(_ context.Context, name string, decision ingest.ChangesDecision, part, reason string) (int64, error) {
	f.changes = strings.Join([]string{name, string(decision) + part, reason}, " ")
	return 300, f.err
}

func (f *fakeOperations) PauseServer(ctx context.Context, name string) (ingest.Server, error) {
	s, err := f.ShowServer(ctx, name)
	s.Active = false
	return s, err
}

func (f *fakeOperations) ResumeServer(ctx context.Context, name string) (ingest.Server, error) {
	s, err := f.ShowServer(ctx, name)
	s.Active = true
	return s, err
}

func (f *fakeOperations) Scan(_ context.Context, servers []string) (admin.ScanRun, error) {
	f.scanned = servers
	return f.run, f.err
}

func (f *fakeOperations) WaitScan(_ context.Context, _ admin.ScanRun, progress func(admin.ScanProgress)) (admin.ScanOutcome, error) {
	progress(admin.ScanProgress{Total: 1, Files: map[ingest.Status]int64{ingest.StatusDownloading: 1}})
	return f.outcome, nil
}

func (f *fakeOperations) PartReady(context.Context, string) error { return nil }

func (f *fakeOperations) EachFile(_ context.Context, filter ingest.FileFilter, limit int, fn func(ingest.File) error) error {
	f.filter, f.limit = filter, limit
	for _, file := range f.files {
		if err := fn(file); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeOperations) ShowFile(_ context.Context, prefix string) (ingest.File, error) {
	for _, file := range f.files {
		if strings.HasPrefix(file.UUID, prefix) {
			return file, nil
		}
	}
	return ingest.File{}, ingest.Wrap(ingest.KindMissing, admin.ErrNotFound, "no file has the uuid %q", prefix)
}

func (f *fakeOperations) Progress(_ context.Context, files []ingest.File) map[string]admin.Progress {
	progress := map[string]admin.Progress{}
	for _, file := range files {
		if p, known := f.progress[file.UUID]; known {
			progress[file.UUID] = p
		}
	}
	return progress
}

func (f *fakeOperations) Events(context.Context, string) ([]ingest.StoredEvent, error) {
	return f.events, f.err
}

func (f *fakeOperations) Decide(_ context.Context, uuid string, action admin.Action, d workflows.Decision) (ingest.File, error) {
	f.decided = append(f.decided, fmt.Sprintf("%s %s from %q because %s", action, uuid, d.From, d.Reason))
	if err := f.refused[uuid]; err != nil {
		return ingest.File{}, err
	}
	return ingest.File{UUID: uuid, RemotePath: "/in/a.csv"}, f.err
}

func (f *fakeOperations) CreateToken(_ context.Context, in admin.NewToken) (ingest.Token, string, error) {
	f.token = in
	return ingest.Token{Name: in.Name, Role: in.Role}, "stv_shown", f.err
}

func (f *fakeOperations) ListTokens(context.Context) ([]ingest.Token, error) {
	return f.tokens, f.err
}

func (f *fakeOperations) RevokeToken(_ context.Context, name string) (ingest.Token, error) {
	for _, token := range f.tokens {
		if token.Name == name {
			token.RevokedAt = time.Unix(1, 0)
			return token, nil
		}
	}
	return ingest.Token{}, ingest.Wrap(ingest.KindMissing, admin.ErrNotFound, "no token is called %q", name)
}

func (f *fakeOperations) Audit(_ context.Context, req admin.AuditRequest, fn func(oracle.Difference) error) (admin.AuditSummary, error) {
	f.audited = req
	req.Progress(f.audit.Summary)
	for _, d := range f.differences {
		if err := fn(d); err != nil {
			return f.audit, err
		}
	}
	return f.audit, f.err
}

func (f *fakeOperations) RotateKey(_ context.Context, req admin.RotateRequest) (admin.RotateResult, error) {
	f.rotated = req
	return admin.RotateResult{NewKey: true, Servers: 3, Resealed: 3}, f.err
}

func (f *fakeOperations) Close() { f.closed = true }

// call is what one call of the program left behind.
type call struct {
	code        int
	out, errors string
}

// with changes the app before it runs.
type with func(*app)

func terminal(a *app) { a.terminal = true }

func stdin(text string) with { return func(a *app) { a.stdin = strings.NewReader(text) } }

func environ(lines ...string) with { return func(a *app) { a.environ = append(a.environ, lines...) } }

func execute(t *testing.T, ops *fakeOperations, line []string, options ...with) call {
	t.Helper()
	return executeIn(t, t.Context(), ops, line, options...)
}

func executeIn(t *testing.T, ctx context.Context, ops localOperations, line []string, options ...with) call {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		environ: []string{"STEVEDORE_DATABASE_URL=postgres://u:canary-password@127.0.0.1:1/x"},
		open:    func(config.Config, *slog.Logger) localOperations { return ops },
		dial:    func(config.Config) (operations, error) { return ops, nil },
	}
	for _, option := range options {
		option(a)
	}
	code := a.run(ctx, line)
	require.NotContains(t, out.String()+errs.String(), "canary")
	return call{code, out.String(), errs.String()}
}

func args(line ...string) []string { return line }

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		code int
	}{
		"ok":             {nil, 0},
		"unclassified":   {errors.New("odd"), 1},
		"invalid":        {ingest.Wrap(ingest.KindInvalid, &admin.InvalidError{Fields: []ingest.FieldError{{Field: "name", Message: "name"}}}, "cannot add"), 2},
		"not found":      {ingest.Wrap(ingest.KindMissing, admin.ErrNotFound, "no server"), 3},
		"database down":  {ingest.Errorf(ingest.KindTransient, "cannot reach PostgreSQL"), 5},
		"schema missing": {ingest.Wrap(ingest.KindMissing, errors.New("x"), "run migrate"), 5},
		"auth":           {ingest.Errorf(ingest.KindAuth, "refused"), 6},
		"host key":       {ingest.Errorf(ingest.KindHostKey, "not pinned"), 6},
		"conflict":       {ingest.Errorf(ingest.KindConflict, "taken"), 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ops := &fakeOperations{err: tc.err}
			got := execute(t, ops, args("server", "list"))
			require.Equal(t, tc.code, got.code, got.errors)
			require.True(t, ops.closed)
			if tc.err != nil {
				require.Equal(t, 1, strings.Count(got.errors, "\n"), "exactly one line: %q", got.errors)
				require.True(t, strings.HasPrefix(got.errors, "stevedore: "))
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		args("bogus"), args("server", "bogus"), args("server", "show"), args("server", "show", "a", "b"), args("scan", "x"),
		args("file", "list", "--status", "lost"), args("file", "list", "--limit", "-1"), args("--nope"), args("-o", "xml", "version"),
		args("server", "test", "a", "--approve", "MD5:00"), args("config", "bogus"), args("audit", "acme"),
		args("server", "add", "--password-file", "-", "--private-key-file", "-"),
		args("server", "add", "--password-file", "/nonexistent/file"), args("server", "add", "--password-file", os.DevNull),
	} {
		t.Run(strings.Join(line, " "), func(t *testing.T) {
			t.Parallel()
			got := execute(t, &fakeOperations{}, line)
			require.Equal(t, exitUsage, got.code, got.errors)
			require.Empty(t, got.out)
			require.Equal(t, 1, strings.Count(got.errors, "\n"), got.errors)
		})
	}
}

func TestWrongConfigurationNamesEveryVariable(t *testing.T) {
	t.Parallel()
	got := execute(t, &fakeOperations{}, args("setup"), environ("STEVEDORE_DATABASE_URL=", "STEVEDORE_SCAN_INTERVAL=soon"))
	require.Equal(t, exitPermanent, got.code)
	require.Contains(t, got.errors, "STEVEDORE_S3_ENDPOINT")
	require.Contains(t, got.errors, "STEVEDORE_SCAN_INTERVAL")
	require.Contains(t, got.errors, "`stevedore setup`")
}

func TestServerAdd(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{}
	got := execute(t, ops, args("server", "add", "--name", "acme", "--host", "h", "--port", "2222", "--username", "u",
		"--password-file", "-", "--host-key", "ssh-ed25519 AAAA", "--path", "/out", "--include", "*.csv", "--include", "*.txt",
		"--exclude", "*.tmp", "--max-parallel", "8", "--settle", "3s", "--transfer", "direct", "--after-ingest", "move:/done"), stdin("pass word\n"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, testUUID+"\n", got.out)
	require.Empty(t, got.errors)
	require.Equal(t, "pass word", string(ops.added.Credentials.Password))
	require.Equal(t, ingest.Server{
		Name: "acme", Host: "h", Port: 2222, Username: "u", HostKeys: []string{"ssh-ed25519 AAAA"}, RootPath: "/out",
		Include: []string{"*.csv", "*.txt"}, Exclude: []string{"*.tmp"}, MaxParallel: 8, Settle: 3 * time.Second, AfterIngest: "move:/done",
		Transfer: ingest.TransferDirect, OnCollision: ingest.CollisionRename, MaxDepth: ingest.MaxDepth,
	}, ops.added.Server)
}

func TestServerAddDefaultsAndFiles(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("PEM\n"), 0o600))
	ops := &fakeOperations{}
	got := execute(t, ops, args("server", "add", "--name", "acme", "--private-key-file", key, "-o", "json"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, "PEM\n", string(ops.added.Credentials.PrivateKey))
	require.Negative(t, ops.added.Server.Settle, "the configuration's settle time is taken")
	require.Contains(t, got.errors, "stevedore server test acme")
	var shown map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.out), &shown))
	require.Equal(t, testUUID, shown["server_uuid"])
}

func TestServerListAndSwitch(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{servers: []ingest.Server{{
		UUID: testUUID, Name: "acme", Host: "h", Port: 22, Active: true, State: ingest.ServerSuspended, LastError: "refused\x1b[31m",
		PasswordEncrypted: []byte("canary-sealed"),
	}}}
	got := execute(t, ops, args("server", "list"))
	require.Contains(t, got.out, "suspended")
	require.NotContains(t, got.out, "\x1b", "what a server says cannot drive the terminal")
	require.Contains(t, execute(t, ops, args("server", "pause", "acme")).out, "paused")
	require.Equal(t, exitNotFound, execute(t, ops, args("server", "show", "nobody")).code)
	require.Contains(t, execute(t, ops, args("server", "show", "acme")).out, "none pinned")

	var servers []map[string]any
	require.NoError(t, json.Unmarshal([]byte(execute(t, ops, args("server", "list", "-o", "json")).out), &servers))
	require.Equal(t, true, servers[0]["has_password"])
}

func TestServerTestShowsTheKeyBesideTheError(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{
		tested: admin.TestResult{Server: ingest.Server{UUID: testUUID, Name: "acme"}, Presented: admin.Probed{Fingerprint: "SHA256:abc", KeyLine: "ssh-ed25519 AAAA"}},
		err:    ingest.Errorf(ingest.KindHostKey, "not pinned yet"),
	}
	got := execute(t, ops, args("server", "test", "acme", "--approve", "SHA256:abc", "-o", "json"))
	require.Equal(t, exitPermanent, got.code)
	require.Equal(t, "SHA256:abc", ops.approved)
	require.JSONEq(t, `{"server":"acme","server_uuid":"`+testUUID+`","ok":false,"fingerprint":"SHA256:abc","host_key":"ssh-ed25519 AAAA",
		"software":"","entries":0,"latency_ms":0,
		"pinned":false,"resumed":false,"error_kind":"host_key","error":"not pinned yet"}`, got.out)
	require.Contains(t, execute(t, ops, args("server", "test", "acme")).out, "SHA256:abc")
}

func TestScanWait(t *testing.T) {
	t.Parallel()
	ref := activities.ServerRef{UUID: testUUID, Name: "acme"}
	for name, tc := range map[string]struct {
		failure *ingest.Failure
		parked  int64
		held    int64
		code    int
	}{
		"done":         {nil, 0, 0, exitOK},
		"parked":       {nil, 1, 0, exitPermanent},
		"held":         {nil, 0, 300, exitPermanent},
		"unreachable":  {&ingest.Failure{Kind: ingest.KindTransient, Message: "nobody answers"}, 1, 300, exitRetryable},
		"bad password": {&ingest.Failure{Kind: ingest.KindAuth, Message: "refused"}, 1, 0, exitPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ops := &fakeOperations{
				run: admin.ScanRun{UUID: "s1", WorkflowID: "scan/s1", RunID: "r1", Servers: 1},
				outcome: admin.ScanOutcome{Summary: workflows.ScanSummary{Started: 1}, Servers: []admin.ServerOutcome{
					{Server: ref, Failure: tc.failure, Files: map[ingest.Status]int64{ingest.StatusCompleted: 2, ingest.StatusError: tc.parked}},
				}},
			}
			ops.servers = []ingest.Server{{UUID: testUUID, Name: "acme"}, {UUID: "other", Name: "other"}}
			ops.servers[0].Attention.Held.Files, ops.servers[1].Attention.Held.Files = tc.held, 7
			got := execute(t, ops, args("scan", "--server", "acme", "--wait", "-o", "json"))
			require.Equal(t, tc.code, got.code, got.errors)
			require.Equal(t, []string{"acme"}, ops.scanned)
			require.NotContains(t, got.errors, "\x1b", "progress is for terminals")
			require.Equal(t, tc.parked > 0, strings.Contains(got.errors, "file list --status error"))
			require.Equal(t, tc.held > 0, strings.Contains(got.errors, "300 file(s) are held: `stevedore server changes acme`"))
			require.NotContains(t, got.errors, "other")
			var result struct {
				WorkflowID string `json:"workflow_id"`
				Servers    []serverResult
			}
			require.NoError(t, json.Unmarshal([]byte(got.out), &result))
			require.Equal(t, "scan/s1", result.WorkflowID)
			require.Equal(t, tc.failure == nil, result.Servers[0].OK)
			require.EqualValues(t, 2, result.Servers[0].Files[ingest.StatusCompleted])

			got = execute(t, ops, args("scan", "--wait"), terminal)
			require.Contains(t, got.errors, "0 of 1 servers done; files: 1 downloading")
			require.Contains(t, got.out, "2 completed")
		})
	}
}

func TestServerChanges(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{servers: []ingest.Server{{UUID: testUUID, Name: "acme"}}}
	ops.servers[0].Attention.Held.Files, ops.servers[0].Attention.HeldReason = 300, "300 known files look new"
	got := execute(t, ops, args("server", "changes", "acme"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, "300 known files look new\ndecide with --take or --same and --reason WHY")
	require.Empty(t, ops.changes)
	got = execute(t, ops, args("server", "changes", "acme", "--same"))
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.errors, "--reason is missing")
	got = execute(t, ops, args("server", "changes", "acme", "--same", "--take", "--reason", "x"))
	require.Equal(t, exitUsage, got.code)
	require.Empty(t, ops.changes)
	for flag, decision := range map[string]string{"--same": "same", "--take": "take"} {
		got = execute(t, ops, args("server", "changes", "acme", flag, "--reason", "summer time", "-o", "json"))
		require.Equal(t, exitOK, got.code, got.errors)
		require.Equal(t, testUUID+" "+decision+" summer time", ops.changes)
		require.Contains(t, got.out, `"files": 300`)
	}
	got = execute(t, ops, args("server", "changes", "acme", "--same", "--part", "-1h", "--reason", "summer time"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Equal(t, testUUID+" same-1h summer time", ops.changes)
	got = execute(t, ops, args("server", "show", "acme"))
	require.Contains(t, got.out, "300 known files look new: run `stevedore server changes acme`")
}

func TestScanWithoutWait(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{run: admin.ScanRun{UUID: "s1", WorkflowID: "scan/s1", RunID: "r1", Servers: 1, Suspended: []ingest.Server{{Name: "bad"}}}}
	got := execute(t, ops, args("scan", "-o", "json"))
	require.JSONEq(t, `{"scan_uuid":"s1","workflow_id":"scan/s1","run_id":"r1","suspended":["bad"]}`, got.out)
	require.Contains(t, got.errors, "stevedore server test bad")
}

func sampleFile() ingest.File {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return ingest.File{
		UUID: testUUID, ServerUUID: "s", ServerName: "acme", RemotePath: "/in/a\xff\t=cmd.csv", Filename: "a\xff\t=cmd.csv", Size: 2048,
		ModTime: at, Status: ingest.StatusCompleted, Hash: "ab", HashAlgo: "sha256", Bucket: "b", ObjectKey: "files/k", CreatedAt: at, UpdatedAt: at,
	}
}

func TestFileListJSON(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{files: []ingest.File{sampleFile(), sampleFile()}}
	got := execute(t, ops, args("file", "list", "-o", "json", "--status", "completed,error", "--status", "ready", "--server", "acme", "--limit", "5"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, ingest.FileFilter{Server: "acme", Statuses: []ingest.Status{"completed", "error", "ready"}}, ops.filter)
	require.Equal(t, 5, ops.limit)
	var files []map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.out), &files))
	require.Len(t, files, 2)
	for _, key := range []string{
		"file_uuid", "server", "server_uuid", "remote_path", "filename", "size_bytes", "mtime", "status", "file_hash", "hash_algo",
		"bucket", "object_key", "error_kind", "error_message", "created_at", "updated_at",
	} {
		require.Contains(t, files[0], key)
	}
	require.Equal(t, `/in/a\xff\t=cmd.csv`, files[0]["remote_path"])
	require.Nil(t, files[0]["error_kind"])
}

func TestFileListOtherFormats(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{files: []ingest.File{sampleFile(), sampleFile()}}
	lines := strings.Split(strings.TrimSpace(execute(t, ops, args("file", "list", "-o", "jsonl")).out), "\n")
	require.Len(t, lines, 2)
	require.True(t, json.Valid([]byte(lines[1])))
	table := execute(t, ops, args("file", "list")).out
	require.Contains(t, table, "2.0 KiB")
	require.Contains(t, table, "UUID")

	none := execute(t, &fakeOperations{}, args("file", "list", "-o", "json"))
	require.JSONEq(t, `[]`, none.out)
	require.Empty(t, none.errors)
	none = execute(t, &fakeOperations{}, args("file", "list"))
	require.Empty(t, none.out)
	require.Contains(t, none.errors, "stevedore scan")
}

func TestFileDecisions(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{}
	got := execute(t, ops, args("file", "retry", "0f0f", "1e1e", "--from", "upload", "--reason", "bucket is back"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, []string{`retry 0f0f from "upload" because bucket is back`, `retry 1e1e from "upload" because bucket is back`}, ops.decided)
	require.Equal(t, 3, strings.Count(got.out, "\n"), got.out)
	require.Contains(t, got.out, "/in/a.csv")
	require.Empty(t, got.errors)

	require.Equal(t, 2, execute(t, ops, args("file", "skip")).code, "which file?")
	require.Equal(t, 2, execute(t, ops, args("file", "skip", "0f0f", "--from", "upload")).code)
	ops.err = ingest.Errorf(ingest.KindConflict, "/in/a.csv is completed: only a file in error waits for a decision")
	got = execute(t, ops, args("file", "renotify", "0f0f"))
	require.Equal(t, 6, got.code)
	require.Contains(t, got.errors, "is completed")
}

// TestOneRefusalStopsNoOtherDecision: all are tried and told about, and the exit
// code is that of the one that trying again mends least.
func TestOneRefusalStopsNoOtherDecision(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{refused: map[string]error{
		"0f0f": ingest.Errorf(ingest.KindTransient, "Temporal does not answer"),
		"1e1e": ingest.Errorf(ingest.KindConflict, "it is completed\x1b[2J"),
	}}
	got := execute(t, ops, args("file", "retry", "0f0f", "1e1e", "2d2d", "-o", "json"))
	require.Equal(t, 6, got.code)
	require.Len(t, ops.decided, 3)
	var results []decideResult
	require.NoError(t, json.Unmarshal([]byte(got.out), &results))
	require.Equal(t, []decideResult{
		{Action: admin.Retry, FileUUID: "0f0f", ErrorKind: ingest.KindTransient, Error: "Temporal does not answer"},
		{Action: admin.Retry, FileUUID: "1e1e", ErrorKind: ingest.KindConflict, Error: `it is completed\x1b[2J`},
		{Action: admin.Retry, FileUUID: "2d2d", RemotePath: "/in/a.csv", Done: true},
	}, results)
	require.Contains(t, got.errors, `it is completed\x1b[2J`)
	require.NotContains(t, got.errors, "\x1b")

	delete(ops.refused, "1e1e")
	got = execute(t, ops, args("file", "retry", "0f0f", "2d2d"))
	require.Equal(t, 5, got.code)
	require.Contains(t, got.out, "refused: Temporal does not answer")
}

func TestFileShow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ops := &fakeOperations{files: []ingest.File{sampleFile()}, events: []ingest.StoredEvent{
		{ID: 1, Type: ingest.EventDiscovered, Timestamp: at, Details: map[string]any{"path": "/in/a", "source": "manual"}},
		{ID: 2, Type: ingest.EventDownloaded, Timestamp: at.Add(1500 * time.Millisecond), Details: map[string]any{"size_mb": 2.5}},
	}}
	ui := environ("STEVEDORE_TEMPORAL_UI_URL=http://127.0.0.1:8233/")
	got := execute(t, ops, args("file", "show", testUUID[:6]), ui)
	require.Equal(t, 0, got.code, got.errors)
	for _, want := range []string{"b/files/k", "sha256 ab", "+1.5s", "path=/in/a source=manual", "size_mb=2.5", "workflows/ingest%2F" + testUUID} {
		require.Contains(t, got.out, want)
	}
	var shown map[string]any
	require.NoError(t, json.Unmarshal([]byte(execute(t, ops, args("file", "show", testUUID, "-o", "json")).out), &shown))
	require.Equal(t, "ingest/"+testUUID, shown["workflow_id"])
	require.Len(t, shown["events"], 2)
	require.Equal(t, exitNotFound, execute(t, ops, args("file", "show", "ffff")).code)
}

func TestSetupAndMigrate(t *testing.T) {
	t.Parallel()
	all := environ("STEVEDORE_S3_ENDPOINT=127.0.0.1:1", "STEVEDORE_S3_ACCESS_KEY=a", "STEVEDORE_S3_SECRET_KEY=canary", "STEVEDORE_KEYSET_FILE=/k",
		"STEVEDORE_AMQP_URL=amqp://u:canary@127.0.0.1:1/")
	ops := &fakeOperations{
		steps: []admin.StepReport{{Name: "database", Done: "migrated"}, {Name: "broker", Err: errors.New("away")}, {Name: "schedule", Skipped: true, Err: errors.New("needs the broker")}},
		err:   ingest.Errorf(ingest.KindTransient, "broker: away"),
	}
	got := execute(t, ops, args("setup"), all)
	require.Equal(t, exitRetryable, got.code, got.errors)
	require.Regexp(t, `(?s)ok +database +migrated\n.*FAILED +broker +away\n.*skipped +schedule +needs the broker`, got.out)
	got = execute(t, ops, args("setup", "-o", "json"), all)
	require.True(t, json.Valid([]byte(got.out)), got.out)
	execute(t, ops, args("migrate"))
	require.Equal(t, []string{admin.StepDatabase}, ops.only)
}

func TestConfigMasksSecretsAndFlagsWin(t *testing.T) {
	t.Parallel()
	got := execute(t, &fakeOperations{}, args("config", "--s3-bucket", "mine", "-o", "json"), environ("STEVEDORE_TOKEN=canary", "STEVEDORE_S3_BUKET=x"))
	require.Equal(t, 0, got.code, got.errors)
	var settings []config.Setting
	require.NoError(t, json.Unmarshal([]byte(got.out), &settings))
	for _, s := range settings {
		if s.Name == "STEVEDORE_S3_BUCKET" {
			require.Equal(t, "mine flag", s.Value+" "+s.Source)
		}
	}
	require.Contains(t, got.errors, "did you mean STEVEDORE_S3_BUCKET?")
	require.Equal(t, config.Markdown(), execute(t, &fakeOperations{}, args("config", "docs")).out)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	main := execute(t, &fakeOperations{}, args("--help"))
	require.Equal(t, 0, main.code)
	for _, command := range []string{"api", "audit", "config", "file", "migrate", "scan", "server", "setup", "version", "worker"} {
		require.Regexp(t, `(?m)^  `+command+` +\w`, main.out)
	}
	require.NotContains(t, main.out, "--s3-bucket")
	require.Contains(t, execute(t, &fakeOperations{}, args("config", "--help")).out, "--s3-bucket")
	add := execute(t, &fakeOperations{}, args("server", "add", "--help")).out
	for _, flag := range []string{
		"name", "host", "port", "username", "password-file", "private-key-file", "host-key", "path", "include", "exclude", "max-parallel", "settle", "after-ingest",
	} {
		require.Contains(t, add, "--"+flag+" ")
	}
	require.NotContains(t, add, "--password ", "passwords never stand on the command line")
}

func TestDaemonsGetTheConfiguration(t *testing.T) {
	t.Parallel()
	var address string
	run := func(a *app) {
		a.runAPI = func(_ context.Context, cfg config.Config, _ *slog.Logger) error {
			address = cfg.API.Addr
			return nil
		}
	}
	got := execute(t, &fakeOperations{}, args("api", "--api-addr", "127.0.0.1:0"), run, environ("STEVEDORE_TOKEN="+strings.Repeat("t", 32), "STEVEDORE_KEYSET_FILE=/k"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, "127.0.0.1:0", address)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := execute(t, &fakeOperations{}, args("version", "-o", "json"))
	require.Equal(t, 0, got.code)
	var v buildVersion
	require.NoError(t, json.Unmarshal([]byte(got.out), &v))
	require.NotEmpty(t, v.Go)
}
