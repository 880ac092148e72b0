package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

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

func TestServerEditTestSavesNothing(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("server", "edit", "acme", "--path", "/new", "--test"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, "/new has ")
	require.Contains(t, got.out, "2 files match")
	require.Equal(t, "/new", ops.draft.Server.RootPath)
	require.Nil(t, ops.edit.Settings, "nothing is saved")
}

func TestServerAddTestSavesNothing(t *testing.T) {
	t.Parallel()
	ops := world()
	line := args("server", "add", "--name", "new", "--host", "h", "--username", "u", "--path", "/new", "--include", "*.csv", "--test", "--password-file", "-")
	got := execute(t, ops, line, stdin("secret\n"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, "2 files match")
	require.Contains(t, got.out, "excluded by the patterns: 1, e.g. /in/a.bak")
	require.True(t, ops.asked.Sample)
	require.Equal(t, "secret", string(ops.draft.Credentials.Password))
	require.Equal(t, []string{"*.csv"}, ops.draft.Server.Include)
	require.Empty(t, ops.added.Server.Name)

	ops.err = ingest.Errorf(ingest.KindAuth, "the server refused the password")
	got = execute(t, ops, line, stdin("secret\n"))
	require.Equal(t, exitPermanent, got.code)
	require.Contains(t, got.out, "FAILED")
	require.Contains(t, got.errors, "the server refused the password")
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

func TestServerChanges(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{servers: []ingest.Server{{UUID: testUUID, Name: "acme"}}}
	ops.servers[0].Attention.Held.Files, ops.servers[0].Attention.HeldReason = 300, "300 known files look new"
	got := execute(t, ops, args("server", "changes", "acme"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, "300 known files look new\nresolve with --take or --same and --reason WHY")
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
	require.Contains(t, got.out, "changed files: 300 known files look new; run `stevedore server changes acme`")
}

func TestServerEditSendsOnlyGivenSettings(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("server", "edit", "acme", "--settle", "30s", "--include", "", "--read-once=false", "--no-private-key"))
	require.Equal(t, 0, got.code, got.errors)
	edited := ingest.Server{Include: []string{"a"}, Exclude: []string{"b"}, ReadOnce: true, Port: 22}
	ops.edit.Settings(&edited)
	require.Equal(t, ingest.Server{Include: []string{}, Exclude: []string{"b"}, Port: 22, Settle: 30 * time.Second}, edited)
	require.NotNil(t, ops.edit.PrivateKey)
	require.Empty(t, ops.edit.PrivateKey)
	require.Nil(t, ops.edit.Password)
	require.Equal(t, 2, execute(t, world(), args("server", "edit", "acme")).code)
	require.Equal(t, 2, execute(t, world(), args("server", "edit", "acme", "--no-password", "--password-file", "x")).code)
	require.Equal(t, 3, execute(t, world(), args("server", "edit", "unknown", "--port", "23")).code)
}

func TestServerRemoveAsks(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"y\n": 0, "YES\n": 0, "n\n": 1, "\n": 1, "": 1} {
		ops := world()
		got := execute(t, ops, args("server", "rm", "acme"), person(answer))
		require.Equal(t, code, got.code, answer)
		require.Equal(t, code == 0, ops.removed != "", answer)
		require.Contains(t, got.errors, "remove server acme (sftp.acme.example:22)? [y/N]")
	}
	unasked := world()
	require.Equal(t, 2, execute(t, unasked, args("server", "rm", "acme"), stdin("y\n")).code, "a pipe cannot be asked")
	require.Empty(t, unasked.removed)
}
