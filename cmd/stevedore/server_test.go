package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

func TestServerAdd(t *testing.T) {
	t.Parallel()
	ops := doubled(servicedouble.Service{})
	got := execute(t, ops, args("server", "add", "--name", "acme", "--host", "h", "--port", "2222", "--username", "u",
		"--password-file", "-", "--host-key", "ssh-ed25519 AAAA", "--path", "/out", "--include", "*.csv", "--include", "*.txt",
		"--exclude", "*.tmp", "--max-parallel", "8", "--settle", "3s", "--transfer", "direct", "--after-ingest", "move:/done"), stdin("pass word\n"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, testUUID+"\n", got.out)
	require.Empty(t, got.errors)
	require.Equal(t, "pass word", string(ops.Added.Credentials.Password))
	require.Equal(t, ingest.Server{
		Name: "acme", Host: "h", Port: 2222, Username: "u", HostKeys: []string{"ssh-ed25519 AAAA"}, RootPath: "/out",
		Include: []string{"*.csv", "*.txt"}, Exclude: []string{"*.tmp"}, MaxParallel: 8, Settle: 3 * time.Second, AfterIngest: "move:/done",
		Transfer: ingest.TransferDirect,
	}, ops.Added.Server)
}

func TestServerAddDefaultsAndFiles(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("PEM\n"), 0o600))
	ops := doubled(servicedouble.Service{})
	got := execute(t, ops, args("server", "add", "--name", "acme", "--private-key-file", key, "-o", "json"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, "PEM\n", string(ops.Added.Credentials.PrivateKey))
	require.Negative(t, ops.Added.Server.Settle, "the configuration's settle time is taken")
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
	require.Equal(t, []string{"test edit of " + testUUID + ", sample"}, ops.Calls)
	var edited ingest.Server
	ops.Edited.Settings(&edited)
	require.Equal(t, "/new", edited.RootPath)
}

func TestServerAddTestSavesNothing(t *testing.T) {
	t.Parallel()
	ops := world()
	line := args("server", "add", "--name", "new", "--host", "h", "--username", "u", "--path", "/new", "--include", "*.csv", "--test", "--password-file", "-")
	got := execute(t, ops, line, stdin("secret\n"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, "2 files match")
	require.Contains(t, got.out, "excluded by the patterns: 1, e.g. /in/a.bak")
	require.Equal(t, []string{"test settings, sample"}, ops.Calls)
	require.Equal(t, "secret", string(ops.Added.Credentials.Password))
	require.Equal(t, []string{"*.csv"}, ops.Added.Server.Include)

	ops.Err = ingest.Errorf(ingest.KindAuth, "the server refused the password")
	got = execute(t, ops, line, stdin("secret\n"))
	require.Equal(t, exitPermanent, got.code)
	require.Contains(t, got.out, "FAILED")
	require.Contains(t, got.errors, "the server refused the password")
}

func TestServerTestShowsTheKeyBesideTheError(t *testing.T) {
	t.Parallel()
	ops := world()
	print := "SHA256:" + strings.Repeat("a", 43)
	ops.Tested.Presented = operations.ProbeResult{Fingerprint: print, KeyLine: "ssh-ed25519 AAAA"}
	ops.Tested.Server = ops.Servers[0]
	ops.Err = ingest.Errorf(ingest.KindHostKey, "not pinned yet")
	got := execute(t, ops, args("server", "test", "acme", "--approve", print, "--expires", "2027-01-31", "-o", "json"))
	require.Equal(t, exitPermanent, got.code, got.errors)
	require.Equal(t, []string{"test " + testUUID + ", approve " + print + ", expires 2027-01-31"}, ops.Calls)
	for _, want := range []string{`"ok": false`, `"fingerprint": "` + print, `"host_key": "ssh-ed25519 AAAA"`, `"error_kind": "host_key"`, `"error": "not pinned yet"`} {
		require.Contains(t, got.out, want)
	}
	require.Contains(t, execute(t, ops, args("server", "test", "acme")).out, print)
}

func TestServerChanges(t *testing.T) {
	t.Parallel()
	ops := doubled(servicedouble.Service{Servers: []ingest.Server{{UUID: testUUID, Name: "acme"}}})
	ops.Servers[0].Attention.Held.Files, ops.Servers[0].Attention.HeldReason = 300, "300 known files look new"
	got := execute(t, ops, args("server", "changes", "acme"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, "300 known files look new\nresolve with --take or --same and --reason WHY")
	require.Empty(t, ops.Calls)
	for flag, decision := range map[string]string{"--same": "same", "--take": "take"} {
		got = execute(t, ops, args("server", "changes", "acme", flag, "--reason", "summer time", "-o", "json"))
		require.Equal(t, exitOK, got.code, got.errors)
		require.Equal(t, "resolve  "+decision+" of "+testUUID+": summer time", ops.Calls[len(ops.Calls)-1])
		require.Contains(t, got.out, `"files": 300`)
	}
	got = execute(t, ops, args("server", "changes", "acme", "--same", "--part", "-1h", "--reason", "summer time"))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Equal(t, "resolve -1h same of "+testUUID+": summer time", ops.Calls[len(ops.Calls)-1])
	got = execute(t, ops, args("server", "show", "acme"))
	require.Contains(t, got.out, "changed files: 300 known files look new; run `stevedore server changes acme`")
}

func TestServerEditSendsOnlyGivenSettings(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("server", "edit", "acme", "--settle", "30s", "--include", "", "--read-once=false", "--no-private-key"))
	require.Equal(t, 0, got.code, got.errors)
	edited := ingest.Server{Include: []string{"a"}, Exclude: []string{"b"}, ReadOnce: true, Port: 22}
	ops.Edited.Settings(&edited)
	require.Equal(t, ingest.Server{Include: []string{}, Exclude: []string{"b"}, Port: 22, Settle: 30 * time.Second}, edited)
	require.NotNil(t, ops.Edited.PrivateKey)
	require.Empty(t, ops.Edited.PrivateKey)
	require.Nil(t, ops.Edited.Password)
	require.Equal(t, 3, execute(t, world(), args("server", "edit", "unknown", "--port", "23")).code)
}

func TestServerRemoveAsks(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"y\n": 0, "YES\n": 0, "n\n": 1, "\n": 1, "": 1} {
		ops := world()
		got := execute(t, ops, args("server", "rm", "acme"), person(answer))
		require.Equal(t, code, got.code, answer)
		require.Equal(t, code == 0, len(ops.Calls) == 1, answer)
		require.Contains(t, got.errors, "remove server acme (sftp.acme.example:22)? [y/N]")
	}
	unasked := world()
	require.Equal(t, 2, execute(t, unasked, args("server", "rm", "acme"), stdin("y\n")).code, "a pipe cannot be asked")
	require.Empty(t, unasked.Calls)
}
