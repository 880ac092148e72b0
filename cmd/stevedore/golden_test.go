package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// hostileName has control characters that move the cursor or columns.
const hostileName = "/in/a\xff\tb\x1b[31m\u202egnp.exe\u200f<script>=cmd|' /C calc'!A0\r\n.csv"

// golden compares a transcript with testdata/NAME.golden.
func golden(t *testing.T, name, transcript string) {
	t.Helper()
	require.NotContains(t, transcript, "\x1b", "control characters are escaped")
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(transcript), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run `go test ./cmd/stevedore -update` and review testdata")
	require.Equal(t, string(want), transcript)
}

// transcript returns a call as a shell shows it.
func (c call) transcript(title string) string {
	text := "$ " + title + "\n" + c.out
	if c.errors != "" {
		text += "--- stderr\n" + c.errors
	}
	if c.code != 0 {
		text += fmt.Sprintf("--- exit code %d\n", c.code)
	}
	return text + "\n"
}

// world returns the servers, files and tokens of the golden tests.
func world() *double {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hostile := ingest.File{
		UUID: "1f0f0f0f-1111-4222-8333-444444444444", ServerUUID: testUUID, ServerName: "acme", ServerRemoved: true, RemotePath: hostileName,
		Filename: hostileName[4:], Size: 3 << 20, ModTime: at, Status: ingest.StatusError, ErrorKind: ingest.KindPermission,
		ErrorMessage: "the server said \x1b]0;owned\a: ask the partner", CreatedAt: at, UpdatedAt: at.Add(time.Minute),
	}
	inFlight := sampleFile()
	inFlight.UUID, inFlight.Status = "3f0f0f0f-1111-4222-8333-444444444444", ingest.StatusDownloading
	inFlight.Mode, inFlight.Checksum = ingest.ModeDirect, "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=-3"
	audited := sampleAudit()
	ops := doubled(servicedouble.Service{
		AuditRuns: audited.AuditRuns, Discrepancies: audited.Discrepancies,
		Progressing: map[string]orchestrator.Progress{inFlight.UUID: {
			Step: ingest.StepTransfer, Attempt: 3, Running: true, Done: 512, Total: 2048, Rate: 128,
			Failure: "the server hung up\x1b[2J", Host: "host-1",
		}},
		Servers: []ingest.Server{
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
		Files: []ingest.File{sampleFile(), hostile, inFlight},
		Events: []ingest.StoredEvent{
			{ID: 1, Type: ingest.EventDiscovered, Timestamp: at, Details: map[string]any{"path": hostileName, "source": "manual"}},
			{ID: 2, Type: ingest.EventDownloaded, Timestamp: at.Add(1500 * time.Millisecond), Details: map[string]any{"size_mb": 2.5}},
		},
		TokenList: []ingest.Token{
			{Name: "ci", Role: ingest.RoleOperator, CreatedBy: "cli:ann", CreatedAt: at, LastUsedAt: at},
			{Name: "old", Role: ingest.RoleViewer, CreatedBy: "bootstrap", CreatedAt: at, RevokedAt: at},
		},
		Scan: operations.ScanRun{UUID: "5f0f0f0f-1111-4222-8333-444444444444", WorkflowID: "scan/5f", RunID: "r1", Servers: 1},
		Scanned: operations.ScanStatus{
			UUID: "5f0f0f0f-1111-4222-8333-444444444444", WorkflowID: "scan/5f", RunID: "r1", State: operations.ScanCompleted, StartedAt: at,
			Summary: workflows.ScanSummary{Started: 1},
			Servers: []operations.ScanServerStatus{{
				Server: activities.ServerRef{UUID: testUUID, Name: "acme"}, State: operations.ScanCompleted,
				Files: map[ingest.Status]int64{ingest.StatusCompleted: 2, ingest.StatusError: 1},
			}},
		},
		Tested: operations.TestResult{Server: ingest.Server{UUID: testUUID, Name: "acme", RootPath: "/"}, Presented: operations.ProbeResult{Fingerprint: "SHA256:abc", KeyLine: "ssh-ed25519 AAAA", Software: "SSH-2.0-x\x1b[1m", Entries: 3, ProbeDetails: operations.ProbeDetails{Sample: &operations.Sample{
			Included: 2, Paths: []string{"/in/a.csv", "/in/b.csv"}, Unmatched: ingest.Unmatched{Count: 1, Example: "/in/a.bak"}, Omitted: []operations.OmittedEntry{
				{Path: "/in/a.bak", Omission: ingest.Omission{Reason: ingest.OmitExcluded, Detail: "*.bak"}},
				{Path: "/in/c.csv", Omission: ingest.Omission{Reason: ingest.OmitWaiting, Detail: "its done-marker /in/c.csv.done"}},
			},
		}}}},
		Matched: 3, BatchSize: 2,
		Listings: []ingest.Scan{
			{ID: 2, ServerUUID: testUUID, ServerName: "acme", StartedAt: at.Add(time.Minute), FinishedAt: at.Add(time.Hour), ScanCounts: ingest.ScanCounts{Seen: 12, New: 3, Settling: 1, InProgress: 2, Errors: 1}, Note: "the clock is 2 h ahead\x1b",
				Excluded: ingest.Unmatched{Count: 2, Example: "/outbox/a.bak"}, ScanOrigin: ingest.ScanOrigin{Source: ingest.SourceManual, RequestedBy: "alice"},
				Unread: ingest.Unread{Count: 1, Folders: []ingest.UnreadFolder{{Path: "/outbox/private", Reason: "may not be read by user in"}}}},
			{ID: 1, ServerUUID: testUUID, ServerName: "acme", ServerRemoved: true, StartedAt: at.Add(-time.Hour), FinishedAt: at, ScanOrigin: ingest.ScanOrigin{Source: ingest.SourceSchedule}},
		},
		MoreFailures: true,
		Failures: []ingest.FailureGroup{
			{ServerUUID: testUUID, ServerName: "acme", Kind: ingest.KindPermission, Step: ingest.StepDownload, Count: 12, Since: at, Latest: at.Add(time.Hour), FileUUID: hostile.UUID, Message: "open acme:/in/a: permission denied\x1b"},
			{ServerUUID: testUUID, ServerName: "acme", Count: 1, Since: at, Latest: at, FileUUID: testUUID},
		},
		Log: []ingest.AuditEntry{
			{ID: 3, At: at.Add(time.Hour), Actor: "alice", Role: ingest.RoleAdmin, Action: "server.edit", Target: "acme", Outcome: ingest.ActionDone, Details: map[string]any{
				"server_uuid": testUUID, "changes": map[string]any{"port": map[string]any{"from": 22, "to": 2222}, "include": map[string]any{"from": []any{}, "to": []any{"*.csv\x1b"}}, "password": ingest.FieldChanged},
			}},
			{ID: 2, At: at, Actor: "cli:ann", Role: ingest.RoleOperator, Action: "scan.start", Target: testUUID, Outcome: ingest.ActionUnknown, Details: map[string]any{"servers": []string{"acme"}}},
			{ID: 1, At: at, Actor: "ci", Role: ingest.RoleOperator, Action: "file.retry", Target: testUUID, Outcome: ingest.ActionFailed, Error: "the file is busy\x1b", Details: map[string]any{"reason": "again"}},
		},
		Now: goldenTime,
		Hours: []ingest.HourStats{
			{Start: goldenTime.Add(-23 * time.Hour), Completed: 3, Bytes: 3 << 20, Failures: 1}, {Start: goldenTime, Completed: 3, Bytes: 3 << 20, Failures: 1},
		},
		ServerStats: []ingest.ServerStats{{ServerUUID: testUUID, ServerName: "acme", Completed: 6, Bytes: 6 << 20, Failures: 2}, {ServerUUID: "s2", ServerName: "globex", ServerRemoved: true}},
	})
	for _, s := range []ingest.Server{
		{Name: "initech", Active: true, HostKeys: []string{"ssh-ed25519 AAAA"}, State: ingest.ServerOK, LastError: "server initech: cannot connect to h:22: the name h is not found; check the spelling"},
		{Name: "hooli", Active: true, HostKeys: []string{"ssh-ed25519 AAAA"}, State: ingest.ServerOK},
		{Name: "umbrella", HostKeys: []string{"ssh-ed25519 AAAA"}, State: ingest.ServerSuspended},
	} {
		s.UUID, s.Host, s.Port, s.Username = "9f0f0f0f-0000-4222-8333-444444444444", "h", 22, "u"
		ops.Servers = append(ops.Servers, s)
	}
	ops.Servers[1].HostKeys = []string{"ssh-ed25519 AAAA"}
	return ops
}

// TestGolden has a transcript for each group of commands. "80: " runs the command on a
// terminal of 80 columns.
func TestGolden(t *testing.T) {
	t.Parallel()
	for group, lines := range map[string][]string{
		"server": {
			"server list", "80: server list", "120: server list", "server list -o json", "server list -o jsonl", "server show acme", "80: server show globex", "server show acme -o json",
			"server test acme", "server test acme --list", "server add --name new --host h --username u --path /new --test", "server add --host h --test -o json", "server test acme -o json", "server rm acme --yes", "server pause acme", "server resume acme", "server changes acme", "server show unknown\x1b[31m",
			"server edit acme --port x", "server add --transfer strem", "server add --follow-links=maybe", "server add --settle 10", "server add --min-size 1e3", "server add --identity sise",
			"server test acme --expires 30d", "server test acme --approve MD5:00", "server rm acme", "server edit acme",
			"server stats", "60: server stats", "server stats -o jsonl", "server stats acme --period 7d", "server stats unknown", "server stats acme globex", "server stats --period 8d",
		},
		"file": {
			"file list", "80: file list", "120: file list", "file list -o json", "file list -o jsonl", "file show 1f0f", "80: file show 1f0f", "file show 3f0f", "file show 3f0f -o json",
			"file retry --server acme --dry-run", "file retry --server acme --dry-run -o json", "file retry 1f0f --step downlod", "file list --status eror,ready", "file list --from yesterday", "file failures", "80: file failures", "file failures -o jsonl", "file list --error-step downlod", "file retry --search a --error-kind permission,auth --error-step download --dry-run", "file list --error-kind Bad",
			"file list --limit many", "file list --watch -o json", "file list --sever acme", "file list --hash abc", "file show zz", "file list --watch=perhaps", "file skip", "file lst",
		},
		"scan":  {"scan", "scan --wait", "scan --wait -o json", "scan show latest", "80: scan show latest", "scan show 5f0f0f0f-1111-4222-8333-444444444444", "scan show latest -o jsonl", "scan show 5f0f", "scan list", "80: scan list", "scan list --from 24h", "scan list --to 24h", "scan list --from 1h", "scan list --from 1h --to 2h", "scan list -o jsonl", "scan show 2", "scan show 9", "60: scan list", "scan show", "scan list --limit -1", "scan shw"},
		"audit": {"audit", "audit --server acme --deep", "audit -o json", "audit -o jsonl", "audit list", "80: audit list", "audit show latest", "audit show ffff", "audit acme", "audit-log list", "80: audit-log list", "120: audit-log list", "audit-log list -o jsonl", "audit-log list --from 1h --to 24h", "audit-log list --from soon", "60: audit-log list"},
		"token": {"token list", "80: token list", "token list -o json", "token revoke ci --yes", "token revoke ci", "token create --name ci --role admn", "token create --name ci --role viewer --expires 30", "token revoke unknown --yes", "token create --name ci"},
		"other": {"key rotate --keyset-file /k", "key rotate --keyset-file /k -o json", "sevrer list", "-o yaml version", "-x", "version now", "break-glass", "version -o"},
	} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, line := range lines {
				width, command, onTerminal := strings.Cut(line, ": ")
				if !onTerminal {
					width, command = "0", line
				}
				columns, err := strconv.Atoi(width)
				require.NoError(t, err)
				got := execute(t, world(), strings.Fields(command), onScreen(columns), environ("NO_COLOR=1"), clockAt)
				text.WriteString(got.transcript(line))
				for printed := range strings.Lines(got.out) {
					require.True(t, columns == 0 || strings.Contains(command, "show") || runewidth.StringWidth(printed) <= columns, printed)
				}
				for _, internal := range []string{"strconv", "parsing", "unmarshal", "invalid UUID", "pflag", "arg(s)", "argument:"} {
					require.NotContains(t, got.errors, internal)
				}
			}
			golden(t, group, strings.ReplaceAll(text.String(), "\x1b[31m\n", "\n"))
		})
	}
}

// goldenTime is the fixed time of the golden tests, so that relative times in tables are constant.
var goldenTime = time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC)

func clockAt(a *app) { a.now = func() time.Time { return goldenTime } }

// TestGoldenHelp: each command has an example.
func TestGoldenHelp(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		line := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		got := execute(t, world(), line)
		for printed := range strings.Lines(got.out) {
			require.LessOrEqual(t, runewidth.StringWidth(strings.TrimSuffix(printed, "\n")), helpWidth, printed)
		}
		require.True(t, cmd.HasSubCommands() || strings.Contains(got.out, "Examples:\n"), cmd.CommandPath())
		got.out, _, _ = strings.Cut(got.out, "\nGlobal Flags:")
		text.WriteString(got.transcript(strings.Join(line, " ")))
		for _, inner := range cmd.Commands() {
			if name := inner.Name(); name != "completion" && name != "help" { // of cobra
				walk(inner)
			}
		}
	}
	walk((&app{stdin: strings.NewReader("")}).rootCommand())
	golden(t, "help", text.String())
}

func TestColours(t *testing.T) {
	t.Parallel()
	screen := onScreen(120)
	require.Contains(t, execute(t, world(), args("file", "list"), screen).out, "\x1b[31merror\x1b[0m")
	require.NotContains(t, execute(t, world(), args("file", "list", "-o", "json"), screen).out, "\x1b")
	for _, off := range []string{"NO_COLOR=1", "TERM=dumb"} {
		require.NotContains(t, execute(t, world(), args("file", "list"), screen, environ(off)).out, "\x1b")
	}
	require.Contains(t, execute(t, world(), args("file", "list"), screen, environ("NO_COLOR=")).out, "\x1b", "an empty NO_COLOR has no effect")
}

func TestClipPath(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		40: "/outbox/2026/01/report-of-january.csv", 30: "/outbox…/report-of-january.csv", 24: "/…/report-of-january.csv", 12: "repor…ry.csv",
	} {
		got := clipPath("/outbox/2026/01/report-of-january.csv", width)
		require.LessOrEqual(t, runewidth.StringWidth(got), width)
		require.Equal(t, want, got)
	}
}

func TestBreakLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"": {""}, "ask the partner": {"ask the", "partner"}, "a key  of two": {"a key ", "of two"}, "c:/outbox/x": {"c:/outbo", "x/x"}, "см. письмо": {"см.", "письмо"},
	} {
		require.Equal(t, want, breakLines(text, 8))
	}
}

// TestColumns: the variable replaces the width of a terminal. A pipe has none.
func TestColumns(t *testing.T) {
	t.Parallel()
	narrow := execute(t, world(), args("file", "list"), onScreen(200), environ("COLUMNS=80"), clockAt)
	require.Equal(t, execute(t, world(), args("file", "list"), onScreen(80), clockAt).out, narrow.out)
	require.Equal(t, execute(t, world(), args("file", "list"), onScreen(80), environ("COLUMNS=wide"), clockAt).out, narrow.out)
	require.Equal(t, execute(t, world(), args("file", "list")).out, execute(t, world(), args("file", "list"), environ("COLUMNS=80")).out)
}
