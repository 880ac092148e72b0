package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// hostileName is everything that has ever moved a cursor or a column.
const hostileName = "/in/a\xff\tb\x1b[31m\u202egnp.exe\u200f<script>=cmd|' /C calc'!A0\r\n.csv"

// golden compares what a command leaves behind with testdata/NAME.golden.
func golden(t *testing.T, name string, got call) {
	t.Helper()
	text := fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", got.code, got.out, got.errors)
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run `go test ./cmd/stevedore -update` and read what it writes")
	require.Equal(t, string(want), text)
}

// world is what the commands of the golden tests find.
func world() *fakeOperations {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hostile := ingest.File{
		UUID: "1f0f0f0f-1111-4222-8333-444444444444", ServerUUID: testUUID, ServerName: "acme", RemotePath: hostileName,
		Filename: hostileName[4:], Size: 3 << 20, ModTime: at, Status: ingest.StatusError, ErrorKind: ingest.KindPermission,
		ErrorMessage: "the server said \x1b]0;owned\a: ask the partner", CreatedAt: at, UpdatedAt: at.Add(time.Minute),
	}
	travels := sampleFile()
	travels.UUID, travels.Status = "3f0f0f0f-1111-4222-8333-444444444444", ingest.StatusDownloading
	travels.Mode, travels.Checksum = ingest.ModeDirect, "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=-3"
	return &fakeOperations{
		progress: map[string]orchestrator.Progress{travels.UUID: {
			Step: ingest.StepTransfer, Attempt: 3, Running: true, Done: 512, Total: 2048, Rate: 128,
			Failure: "the server hung up\x1b[2J", Host: "host-1",
		}},
		servers: []ingest.Server{
			{
				UUID: testUUID, Name: "acme", Host: "sftp.acme.example", Port: 22, Username: "in", Active: true, State: ingest.ServerOK, RootPath: "/outbox",
				PasswordEncrypted: []byte("canary-sealed"), Include: []string{"**/*.csv"}, MaxParallel: 4, Settle: 10 * time.Second, ScanInterval: time.Minute,
				Transfer: ingest.TransferAuto, AfterIngest: ingest.AfterKeep, OnCollision: ingest.CollisionRename, MaxDepth: 64, LastScanAt: at, CreatedAt: at, UpdatedAt: at,
			},
			{
				UUID: "2f0f0f0f-1111-4222-8333-444444444444", Name: "globex", Host: "2001:db8::1", Port: 2222, Username: "u\x1b[2J", Active: true,
				State: ingest.ServerSuspended, LastError: "the password was refused\r\nfor \u202eu", RootPath: "/", CreatedAt: at, UpdatedAt: at,
			},
		},
		files: []ingest.File{sampleFile(), hostile, travels},
		events: []ingest.StoredEvent{
			{ID: 1, Type: ingest.EventDiscovered, Timestamp: at, Details: map[string]any{"path": hostileName, "source": "manual"}},
			{ID: 2, Type: ingest.EventDownloaded, Timestamp: at.Add(1500 * time.Millisecond), Details: map[string]any{"size_mb": 2.5}},
		},
		tokens: []ingest.Token{
			{Name: "ci", Role: ingest.RoleOperator, CreatedBy: "cli:ann", CreatedAt: at, LastUsedAt: at},
			{Name: "old", Role: ingest.RoleViewer, CreatedBy: "bootstrap", CreatedAt: at, RevokedAt: at},
		},
		run: operations.ScanRun{UUID: "5f0f0f0f-1111-4222-8333-444444444444", WorkflowID: "scan/5f", RunID: "r1", Servers: 1},
		status: operations.ScanStatus{
			UUID: "5f0f0f0f-1111-4222-8333-444444444444", WorkflowID: "scan/5f", RunID: "r1", State: operations.ScanCompleted, StartedAt: at,
			Summary: workflows.ScanSummary{Started: 1},
			Servers: []operations.ScanServerStatus{{
				Server: activities.ServerRef{UUID: testUUID, Name: "acme"}, State: operations.ScanCompleted,
				Files: map[ingest.Status]int64{ingest.StatusCompleted: 2, ingest.StatusError: 1},
			}},
		},
		tested:  operations.TestResult{Server: ingest.Server{UUID: testUUID, Name: "acme", RootPath: "/"}, Presented: operations.ProbeResult{Fingerprint: "SHA256:abc", KeyLine: "ssh-ed25519 AAAA", Software: "SSH-2.0-x\x1b[1m", Entries: 3}},
		matched: 3,
	}
}

func TestGoldenOutput(t *testing.T) {
	t.Parallel()
	for name, line := range map[string][]string{
		"server-list":  args("server", "list"),
		"server-show":  args("server", "show", "acme"),
		"server-test":  args("server", "test", "acme"),
		"server-rm":    args("server", "rm", "acme", "--yes"),
		"file-list":    args("file", "list"),
		"file-show":    args("file", "show", "1f0f"),
		"file-travels": args("file", "show", "3f0f"),
		"token-list":   args("token", "list"),
		"scan-wait":    args("scan", "--wait"),
		"file-dry-run": args("file", "retry", "--server", "acme", "--dry-run"),
		"key-rotate":   args("key", "rotate", "--keyset-file", "/k"),
	} {
		for _, form := range []string{"table", "json", "jsonl"} {
			t.Run(name+"-"+form, func(t *testing.T) {
				t.Parallel()
				got := execute(t, world(), append(line, "-o", form))
				for _, text := range []string{got.out, got.errors} {
					require.NotContains(t, text, "\x1b", "nothing drives the terminal")
					// JSON is for programs, and tells what there is.
					require.False(t, form == "table" && strings.Contains(text, "\u202e"))
				}
				golden(t, name+"-"+form, got)
			})
		}
	}
}

func TestGoldenErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line []string
		err  error
	}{
		"no-such-command": {args("sevrer"), nil},
		"no-such-flag":    {args("file", "list", "--sever", "acme"), nil},
		"no-such-server":  {args("server", "show", "nobody\x1b[31m"), nil},
		"unreachable":     {args("server", "list"), ingest.Errorf(ingest.KindTransient, "cannot reach PostgreSQL at h: connection refused; is it running?")},
		"invalid": {args("server", "add", "--name", "-"), ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: []ingest.FieldError{
			{Field: "name", Message: "name \"-\": use letters"}, {Field: "host", Message: "host: is missing"}}}, "cannot add the server")},
		"unconfirmed":   {args("server", "rm", "acme"), nil},
		"stale":         {args("server", "edit", "acme", "--port", "23"), ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "server acme was changed since you read it: read it again")},
		"no-json-watch": {args("file", "list", "--watch", "-o", "json"), nil},
		"odd-step":      {args("file", "retry", "0f0f", "--from", "after_ingest"), nil},
		"odd-time":      {args("file", "list", "--from", "yesterday"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ops := world()
			ops.err = tc.err
			got := execute(t, ops, tc.line)
			require.NotZero(t, got.code)
			require.NotContains(t, got.errors, "\x1b")
			golden(t, "error-"+name, got)
		})
	}
}

// TestGoldenHelp: every command explains itself, with an example.
func TestGoldenHelp(t *testing.T) {
	t.Parallel()
	a := &app{stdin: strings.NewReader("")}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		line := strings.Fields(cmd.CommandPath())[1:]
		t.Run(strings.Join(append([]string{"help"}, line...), "-"), func(t *testing.T) {
			got := execute(t, world(), append(line, "--help"))
			if !cmd.HasSubCommands() {
				require.Contains(t, got.out, "Examples:\n", "give one")
			}
			golden(t, strings.Join(append([]string{"help"}, line...), "-"), got)
		})
		for _, inner := range cmd.Commands() {
			walk(inner)
		}
	}
	walk(a.rootCommand())
}

func TestColoursAreForScreensOnly(t *testing.T) {
	t.Parallel()
	screen := func(a *app) { a.screen = true }
	require.Contains(t, execute(t, world(), args("file", "list"), screen).out, "\x1b[31merror\x1b[0m")
	require.NotContains(t, execute(t, world(), args("file", "list", "-o", "json"), screen).out, "\x1b")
	for _, off := range []string{"NO_COLOR=1", "TERM=dumb"} {
		require.NotContains(t, execute(t, world(), args("file", "list"), screen, environ(off)).out, "\x1b")
	}
	require.Contains(t, execute(t, world(), args("file", "list"), screen, environ("NO_COLOR=")).out, "\x1b", "an empty NO_COLOR says nothing")
}
