package main

import (
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
	"stevedore/api/openapi"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/wiring"
)

func args(line ...string) []string { return line }

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
		Transfer: ingest.TransferDirect,
	}, ops.added.Server)
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for say, line := range map[string][]string{
		"not a valid glob": {"file", "list", "--path", "["},
		`path "["`:         {"file", "retry", "--path", "[", "--reason", "x", "--yes"},
		"max_parallel":     {"server", "add", "--name", "acme", "--host", "h", "--username", "u", "--password-file", "-", "--max-parallel", "0"},
	} {
		ops := &fakeOperations{}
		got := execute(t, ops, args(line...), stdin("p"))
		require.Equal(t, exitUsage, got.code, "%s: %s", say, got.errors)
		require.Contains(t, got.errors, say)
		require.Empty(t, ops.added.Server.Name)
	}
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
	ops := world()
	print := "SHA256:" + strings.Repeat("a", 43)
	ops.tested.Presented = operations.ProbeResult{Fingerprint: print, KeyLine: "ssh-ed25519 AAAA"}
	ops.tested.Server = ops.servers[0]
	ops.err = ingest.Errorf(ingest.KindHostKey, "not pinned yet")
	got := execute(t, ops, args("server", "test", "acme", "--approve", print, "--expires", "2027-01-31", "-o", "json"))
	require.Equal(t, exitPermanent, got.code, got.errors)
	require.Equal(t, operations.TestRequest{Approve: print, Expires: "2027-01-31"}, ops.asked)
	require.JSONEq(t, `{"server":"acme","server_uuid":"`+testUUID+`","ok":false,"fingerprint":"`+print+`","host_key":"ssh-ed25519 AAAA",
		"software":null,"entries":0,"latency_ms":0,
		"pinned":false,"resumed":false,"error_kind":"host_key","error":"not pinned yet"}`, got.out)
	require.Contains(t, execute(t, ops, args("server", "test", "acme")).out, print)
}

func TestScanWait(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		failed int64
		held   int64
		code   int
	}{
		"done":         {nil, 0, 0, exitOK},
		"failed":       {nil, 1, 0, exitPermanent},
		"held":         {nil, 0, 300, exitPermanent},
		"unreachable":  {ingest.Errorf(ingest.KindTransient, "connection refused"), 1, 300, exitRetryable},
		"bad password": {ingest.Errorf(ingest.KindAuth, "server acme: refused"), 1, 0, exitPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ops := scannedWorld(tc.err, tc.failed)
			ops.servers = []ingest.Server{{UUID: testUUID, Name: "acme"}, {UUID: "other", Name: "other"}}
			ops.servers[0].Attention.Held.Files, ops.servers[1].Attention.Held.Files = tc.held, 7
			if tc.code == exitPermanent {
				ops.servers[0].Unread.Count = 2
			}
			got := execute(t, ops, args("scan", "--server", "acme", "--wait", "-o", "json"))
			require.Equal(t, tc.code, got.code, got.errors)
			require.Equal(t, []string{"acme"}, ops.scanned)
			require.NotContains(t, got.errors, "\x1b", "progress is for terminals")
			require.Equal(t, tc.failed > 0, strings.Contains(got.errors, "file list --status error"))
			require.Equal(t, tc.held > 0, strings.Contains(got.errors, "300 file(s) are held: `stevedore server changes acme`"))
			require.Equal(t, tc.code == exitPermanent, strings.Contains(got.errors, "2 folder(s) could not be read"))
			require.NotContains(t, got.errors, "other")
			var result openapi.Scan
			require.NoError(t, json.Unmarshal([]byte(got.out), &result))
			require.Equal(t, "scan/s1", result.WorkflowID)
			require.EqualValues(t, 2, result.Servers[0].Files["completed"])
			require.Equal(t, tc.err != nil, result.Servers[0].Error != nil)
			if tc.err != nil {
				require.Contains(t, got.errors, "server acme was not scanned: ")
				require.NotContains(t, got.errors, "acme: acme")
			}
		})
	}
	ops := scannedWorld(nil, 0)
	got := execute(t, ops, args("scan", "--wait"), terminal)
	require.Contains(t, got.errors, "0 of 1 servers done; files: 1 downloading")
	require.Contains(t, got.out, "2 completed")
}

// scannedWorld has a scan of one server that fails with err and leaves so many files in
// error.
func scannedWorld(err error, failed int64) *fakeOperations {
	server := operations.ScanServerStatus{
		Server: activities.ServerRef{UUID: testUUID, Name: "acme"}, State: operations.ScanCompleted, Err: err,
		Files: map[ingest.Status]int64{ingest.StatusCompleted: 2, ingest.StatusError: failed},
	}
	if err != nil {
		server.State = operations.ScanFailed
	}
	return &fakeOperations{
		run: operations.ScanRun{UUID: testUUID, WorkflowID: "scan/s1", RunID: "r1", Servers: 1},
		status: operations.ScanStatus{
			UUID: testUUID, WorkflowID: "scan/s1", RunID: "r1", State: operations.ScanCompleted, Servers: []operations.ScanServerStatus{server},
		},
	}
}

// What a scan could not read is printed, and somebody must mend it.
func TestScanWaitShowsWhatWasNotRead(t *testing.T) {
	t.Parallel()
	for _, folders := range []int{0, 2, 25} {
		ops := scannedWorld(nil, 0)
		ops.servers = []ingest.Server{{UUID: "other", Name: "other"}, {UUID: testUUID, Name: "acme"}}
		ops.servers[0].Unread.Add("/elsewhere", "is closed")
		for i := range folders {
			ops.servers[1].Unread.Add(fmt.Sprintf("/in/%02d", i), "may not be read by user u\x1b")
		}
		got := execute(t, ops, args("scan", "--wait"))
		require.NotContains(t, got.out+got.errors, "elsewhere")
		if folders == 0 {
			require.Equal(t, exitOK, got.code, got.errors)
			continue
		}
		require.Equal(t, exitPermanent, got.code, got.errors)
		require.Contains(t, got.errors, fmt.Sprintf("%d folder(s) could not be read: `stevedore server show acme`", folders))
		require.Regexp(t, `acme +not read +/in/01 may not be read by user u`, got.out)
		require.NotContains(t, got.out, "\x1b")
		require.Equal(t, folders == 25, strings.Contains(got.out, "and 15 more folders"))

		got = execute(t, ops, args("scan", "--wait", "-o", "json"))
		var result scanResult
		require.NoError(t, json.Unmarshal([]byte(got.out), &result))
		require.Len(t, result.Unreadable["acme"], folders)
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
	ops := scannedWorld(nil, 0)
	ops.run.Suspended = []ingest.Server{{Name: "bad"}}
	got := execute(t, ops, args("scan", "-o", "json"))
	require.JSONEq(t, `{"scan_uuid":"`+testUUID+`","workflow_id":"scan/s1","run_id":"r1","servers":1,"suspended":["bad"],
		"status_url":"/api/v1/scans/`+testUUID+`"}`, got.out)
	require.Contains(t, got.errors, "stevedore server test bad")
	got = execute(t, ops, args("scan", "--wait"))
	require.Equal(t, exitPermanent, got.code, "a suspended server was not scanned")
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
	require.Equal(t, ingest.FileFilter{Server: "acme", Statuses: []ingest.Status{"completed", "error", "ready"}, Limit: 5, Order: ops.filter.Order}, ops.filter)
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
	ops := decidable()
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

// decidable has three files in error.
func decidable() *fakeOperations {
	ops := &fakeOperations{}
	for _, prefix := range []string{"0f0f", "1e1e", "2d2d"} {
		ops.files = append(ops.files, ingest.File{UUID: prefix + testUUID[4:], RemotePath: "/in/a.csv", Status: ingest.StatusError})
	}
	return ops
}

// TestOneRefusalStopsNoOtherDecision: all are tried and told about, and the exit
// code is that of the one that trying again mends least.
func TestOneRefusalStopsNoOtherDecision(t *testing.T) {
	t.Parallel()
	ops := decidable()
	ops.refused = map[string]error{
		"0f0f": ingest.Errorf(ingest.KindTransient, "Temporal does not answer"),
		"1e1e": ingest.Errorf(ingest.KindConflict, "it is completed\x1b[2J"),
	}
	got := execute(t, ops, args("file", "retry", "0f0f", "1e1e", "2d2d", "-o", "json"))
	require.Equal(t, 6, got.code)
	require.Len(t, ops.decided, 3)
	var results []decideResult
	require.NoError(t, json.Unmarshal([]byte(got.out), &results))
	require.Equal(t, []decideResult{
		{Action: retry, FileUUID: ops.files[0].UUID, RemotePath: "/in/a.csv", ErrorKind: ingest.KindTransient, Error: "Temporal does not answer"},
		{Action: retry, FileUUID: ops.files[1].UUID, RemotePath: "/in/a.csv", ErrorKind: ingest.KindConflict, Error: `it is completed\x1b[2J`},
		{Action: retry, FileUUID: ops.files[2].UUID, RemotePath: "/in/a.csv", Done: true},
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
		steps: []wiring.StepReport{{Name: "database", Done: "migrated"}, {Name: "broker", Err: errors.New("away")}, {Name: "schedule", Skipped: true, Err: errors.New("needs the broker")}},
		err:   ingest.Errorf(ingest.KindTransient, "broker: away"),
	}
	got := execute(t, ops, args("setup"), all)
	require.Equal(t, exitRetryable, got.code, got.errors)
	require.Regexp(t, `(?s)ok +database +migrated\n.*FAILED +broker +away\n.*skipped +schedule +needs the broker`, got.out)
	got = execute(t, ops, args("setup", "-o", "json"), all)
	require.True(t, json.Valid([]byte(got.out)), got.out)
	execute(t, ops, args("migrate"))
	require.Equal(t, []string{wiring.StepDatabase}, ops.only)
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
