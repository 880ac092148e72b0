package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/wiring"
)

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		args("server", "show"), args("server", "show", "a", "b"), args("scan", "x"), args("file", "list", "--limit", "-1"), args("config", "bogus"),
		args("server", "add", "--password-file", "-", "--private-key-file", "-"),
		args("server", "add", "--password-file", "/nonexistent/file"), args("server", "add", "--password-file", os.DevNull),
		args("file", "skip", "--all"), args("file", "skip", "--dry-run"), args("file", "skip", "0f0f", "--all", "--yes"),
		args("file", "skip", "0f0f", "--yes", "--server", "acme"), args("file", "skip", "0f0f", "--step", "upload"), args("file", "renotify", "--all"),
		args("server", "edit", "acme", "--no-password", "--password-file", "x"), args("file", "list", "--path", "["),
		args("server", "add", "--name", "acme", "--host", "h", "--username", "u", "--password-file", "-", "--max-parallel", "0"),
		args("server", "changes", "acme", "--same"), args("server", "changes", "acme", "--same", "--take", "--reason", "x"),
		args("token", "create", "--name", "ci", "--role", "viewer", "--expires", "2020-01-01"), args("token", "create", "--name", "ci", "--role", "viewer", "--expires", "d"),
		args("token", "create"), args("completion", "foo"), args("help", "sever"), args("server", "list", "--api-url", "foo"), args("server", "list", "--api-url", "ftp://h"),
		args("file", "retry", ""), args("file", "renotify", "0f0f", ""), args("audit-log", "list", "--action", "server.edt"), args("scan", "--timeout", "10"),
		args("token", "create"), args("scan", "show", "0"), args("file", "list", "-o"),
	} {
		t.Run(strings.Join(line, " "), func(t *testing.T) {
			t.Parallel()
			ops := world()
			got := execute(t, ops, line, stdin("p"))
			require.Equal(t, exitUsage, got.code, got.errors)
			require.Empty(t, got.out)
			require.Equal(t, 1, strings.Count(got.errors, "\n"), got.errors)
			for _, request := range ops.Bulk {
				require.True(t, request.DryRun, "only counted")
			}
			require.Empty(t, ops.Calls)
		})
	}
}

// TestFlagsAreNamedInsteadOfFields: where a message names a field of the API, the user gave a flag.
func TestFlagsAreNamedInsteadOfFields(t *testing.T) {
	t.Parallel()
	add := func(flags ...string) []string {
		return append(args("server", "add", "--name", "new", "--host", "h", "--username", "u", "--password-file", "-"), flags...)
	}
	for want, line := range map[string][]string{
		"stevedore: --path: use an absolute folder, or ~/dir\n":           add("--path", "rel"),
		"stevedore: --max-depth: use 64 or less; --path: use an absolute": add("--path", "rel", "--max-depth", "99"),
		"stevedore: --path \"[\": not a valid glob":                       args("file", "list", "--path", "["),
		"stevedore: --name: use letters, digits, '-', '_' and '.'\n":      args("token", "create", "--name", "@", "--role", "viewer"),
		"stevedore: --expires: use ":                                      args("token", "create", "--name", "ci", "--role", "viewer", "--expires", "100000d"),
	} {
		got := execute(t, world(), line, stdin("p"))
		require.Equal(t, exitUsage, got.code)
		require.Contains(t, got.errors, want)
	}
	cmd, _, err := (&app{}).rootCommand().Find(args("server", "add"))
	require.NoError(t, err)
	named := func(field, message string) string {
		return withFlags(cmd, &ingest.InvalidError{Fields: []ingest.FieldError{{Field: field, Message: message}}}).Error()
	}
	require.Equal(t, "--include: at most 100 globs", named("include", "at most 100 globs"))
	require.Equal(t, `--include "[": odd`, named("include.0", `include "[": odd`))
	require.Equal(t, "--password-file: is missing", named("password", "is missing"))
	require.Equal(t, `--host-key "x": odd`, named("host_keys", `host_keys "x": odd`))
	require.Equal(t, "credentials: enter a password", named("credentials", "credentials: enter a password"))
}

// TestExitCodes: the API preserves exit codes and messages.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	wrong := &ingest.InvalidError{Fields: []ingest.FieldError{{Field: "name", Message: "name: odd"}, {Field: "host", Message: "host: is missing"}}}
	for name, tc := range map[string]struct {
		err  error
		code int
		want string
	}{
		"ok":             {nil, exitOK, ""},
		"unclassified":   {errors.New("canary: odd"), exitOther, "search the log of stevedore for the request id"},
		"fields":         {ingest.Wrap(ingest.KindInvalid, wrong, "cannot"), exitUsage, "name: odd; host: is missing"},
		"paused server":  {ingest.Errorf(ingest.KindInvalid, "server x is paused"), exitPermanent, "server x is paused"},
		"not found":      {ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no server"), exitNotFound, "no server"},
		"old schema":     {ingest.Wrap(ingest.KindMissing, errors.New("x"), "run migrate"), exitRetryable, "run migrate"},
		"database down":  {ingest.Errorf(ingest.KindTransient, "cannot reach PostgreSQL"), exitRetryable, "cannot reach PostgreSQL"},
		"too slow":       {ingest.Wrap(ingest.KindTransient, context.DeadlineExceeded, "no answer in time"), exitRetryable, "no answer in time"},
		"conflict":       {ingest.Errorf(ingest.KindConflict, "taken"), exitPermanent, "taken"},
		"stale":          {ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "read it again"), exitPermanent, "read it again"},
		"auth":           {ingest.Errorf(ingest.KindAuth, "the password was refused"), exitPermanent, "the password was refused"},
		"host key":       {ingest.Errorf(ingest.KindHostKey, "not pinned"), exitPermanent, "not pinned"},
		"permission":     {ingest.Errorf(ingest.KindPermission, "denied"), exitPermanent, "denied"},
		"forbidden host": {ingest.Errorf(ingest.KindForbiddenAddress, "private"), exitPermanent, "private"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := execute(t, doubled(servicedouble.Service{ReadErr: tc.err}), args("server", "list"))
			require.Equal(t, tc.code, got.code, got.errors)
			require.Contains(t, got.errors, tc.want)
			if tc.err != nil {
				require.Regexp(t, `^stevedore: .*\n$`, got.errors, "one line")
			}
		})
	}
	require.Equal(t, exitDiscrepancies, exitCode(discrepanciesError{1}))
}

func TestRefusedAndMissingTokens(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"STEVEDORE_TOKEN=stv_old": "unknown, expired or revoked; ask an admin for a token", "STEVEDORE_TOKEN=": "STEVEDORE_TOKEN is not set: ask an admin for a token",
	} {
		got := execute(t, world(), args("server", "list"), environ(variable))
		require.Equal(t, exitPermanent, got.code)
		require.Contains(t, got.errors, want)
	}
	got := execute(t, world(), args("server", "list", "--api-url", "http://127.0.0.1:1"))
	require.Equal(t, exitRetryable, got.code)
	require.Contains(t, got.errors, "cannot reach the API at http://127.0.0.1:1: connection refused; start it")
	got = execute(t, world(), args("server", "list", "--api-url", "http://stevedore.invalid"))
	require.Contains(t, got.errors, "the name stevedore.invalid cannot be resolved; start it")
}

// TestNoWorker: without a worker Temporal times out, and the message names the worker.
func TestNoWorker(t *testing.T) {
	t.Parallel()
	ops := world()
	ops.Refused = map[string]error{ops.Files[1].UUID: ingest.Errorf(ingest.KindTransient, "Temporal does not answer: check that it runs")}
	ops.Parts = []operations.PartStatus{{Part: operations.PartWorker, Err: ingest.Errorf(ingest.KindTransient, "no worker polls task queue \"q\": start one")}}
	got := execute(t, ops, args("file", "retry", "1f0f"))
	require.Equal(t, exitRetryable, got.code)
	require.Contains(t, got.errors, "no worker polls")
	require.NotContains(t, got.out+got.errors, "Temporal does not answer")
	require.Equal(t, 1, strings.Count(execute(t, ops, args("scan", "--wait")).errors, "no worker polls"), "the note is printed once")
}

// privately serves the fake as the private API of break-glass.
func privately(t *testing.T, ops service, actor *string) with {
	t.Helper()
	return func(a *app) {
		a.servePrivately = func(_ context.Context, _ config.Config, log *slog.Logger, name string) (string, string, func(), error) {
			*actor = name
			server := httptest.NewServer(api.NewHandler(api.Deps{Operations: ops, Access: ops, Token: "one-time", TokenName: name, Log: log}))
			return server.URL, "one-time", server.Close, nil
		}
	}
}

// TestBreakGlass runs a command without a running API, and returns its exit code.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	var actor string
	down := environ("STEVEDORE_API_URL=http://127.0.0.1:1", "STEVEDORE_TOKEN=", "STEVEDORE_KEYSET_FILE=/k")
	got := execute(t, world(), args("break-glass", "--", "server", "list", "-o", "jsonl"), down, privately(t, world(), &actor))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, `"name":"acme"`)
	require.Contains(t, actor, "cli")
	got = execute(t, world(), args("break-glass", "--", "server", "show", "unknown"), down, privately(t, world(), &actor))
	require.Equal(t, exitNotFound, got.code)
	require.Equal(t, "stevedore: no server is called \"unknown\"\n", got.errors, "the error appears once")
	require.NotContains(t, got.errors, "warning")
	got = execute(t, world(), args("break-glass", "--", "server", "list"), environ("STEVEDORE_KEYSET_FILE=/k"), privately(t, world(), &actor))
	require.Equal(t, exitOK, got.code, "a warning is no refusal")
	require.Contains(t, got.errors, "warning: an API is running at http://127.0.0.1:")
	got = execute(t, world(), args("break-glass", "--", "server", "list"), environ("STEVEDORE_DATABASE_URL=", "STEVEDORE_KEYSET_FILE=/k"), privately(t, world(), &actor))
	require.Equal(t, exitPermanent, got.code)
	require.Contains(t, got.errors, "`stevedore break-glass`")
	require.Contains(t, got.errors, "STEVEDORE_DATABASE_URL")
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	got := execute(t, doubled(servicedouble.Service{}), args("setup"), environ("STEVEDORE_DATABASE_URL=", "STEVEDORE_SCAN_INTERVAL=soon"))
	require.Equal(t, exitPermanent, got.code)
	for _, want := range []string{"STEVEDORE_S3_ENDPOINT", "STEVEDORE_SCAN_INTERVAL", "`stevedore setup`"} {
		require.Contains(t, got.errors, want, "all invalid variables are named")
	}
	got = execute(t, doubled(servicedouble.Service{}), args("config", "--s3-bucket", "mine", "-o", "json"), environ("STEVEDORE_TOKEN=canary", "STEVEDORE_S3_BUKET=x"))
	require.Equal(t, 0, got.code, got.errors)
	var variables []config.Variable
	require.NoError(t, json.Unmarshal([]byte(got.out), &variables))
	for _, v := range variables {
		if v.Name == "STEVEDORE_S3_BUCKET" {
			require.Equal(t, "mine flag", v.Value+" "+v.Source)
		}
	}
	require.Contains(t, got.errors, "did you mean STEVEDORE_S3_BUCKET?")
	require.Equal(t, config.Markdown(), execute(t, doubled(servicedouble.Service{}), args("config", "docs")).out)

	var address string
	run := func(a *app) {
		a.runAPI = func(_ context.Context, cfg config.Config, _ *slog.Logger) error {
			address = cfg.API.Addr
			return nil
		}
	}
	got = execute(t, doubled(servicedouble.Service{}), args("api", "--api-addr", "127.0.0.1:0"), run, environ("STEVEDORE_TOKEN="+strings.Repeat("t", 32), "STEVEDORE_KEYSET_FILE=/k"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, "127.0.0.1:0", address)
}

func TestSetupAndMigrate(t *testing.T) {
	t.Parallel()
	all := environ("STEVEDORE_S3_ENDPOINT=127.0.0.1:1", "STEVEDORE_S3_ACCESS_KEY=a", "STEVEDORE_S3_SECRET_KEY=canary", "STEVEDORE_KEYSET_FILE=/k",
		"STEVEDORE_AMQP_URL=amqp://u:canary@127.0.0.1:1/")
	ops := doubled(servicedouble.Service{Err: ingest.Errorf(ingest.KindTransient, "broker: down")})
	ops.steps = []wiring.StepReport{{Name: "database", Done: "migrated"}, {Name: "broker", Err: errors.New("down")}, {Name: "schedule", Skipped: true, Err: errors.New("needs the broker")}}
	got := execute(t, ops, args("setup"), all)
	require.Equal(t, exitRetryable, got.code, got.errors)
	require.Regexp(t, `(?s)ok +database +migrated\n.*FAILED +broker +down\n.*skipped +schedule +needs the broker`, got.out)
	require.True(t, json.Valid([]byte(execute(t, ops, args("setup", "-o", "json"), all).out)))
	execute(t, ops, args("migrate"))
	require.Equal(t, []string{wiring.StepDatabase}, ops.only)
}

func TestKeyRotate(t *testing.T) {
	t.Parallel()
	ops := world()
	got := execute(t, ops, args("key", "rotate", "--keyset-file", "/k", "--key-only"))
	require.Equal(t, 0, got.code, got.errors)
	require.True(t, ops.rotated.KeyOnly)
	require.Contains(t, got.out, "copy the file to each host")
	require.Equal(t, exitPermanent, execute(t, world(), args("key", "rotate")).code, "which file?")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := execute(t, doubled(servicedouble.Service{}), args("version", "-o", "json"))
	require.Equal(t, 0, got.code)
	var v buildVersion
	require.NoError(t, json.Unmarshal([]byte(got.out), &v))
	require.NotEmpty(t, v.Go)
	require.Equal(t, "stevedore 1 (go2, os/cpu)", buildVersion{Version: "1", Go: "go2", Platform: "os/cpu"}.String())
	require.Equal(t, "stevedore 1 (go2, os/cpu, commit ab)", buildVersion{Version: "1", Go: "go2", Platform: "os/cpu", Commit: "ab"}.String())
	require.Equal(t, v.String()+"\n", execute(t, doubled(servicedouble.Service{}), args("--version")).out)
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		require.Contains(t, execute(t, world(), args("completion", shell)).out, "stevedore")
	}
	for line, want := range map[string]string{
		"server show ac": "acme", "scan --server |": "globex", "file list --status |": "superseded", "-o |": "jsonl", "token create --role |": "operator", "token revoke |": "ci",
		"file retry --step |": "upload", "server add --transfer |": "direct", "server add --identity |": "size+hash", "file show 1f0f": "1f0f0f0f-1111-4222-8333-444444444444",
		"file retry 1f0f 3f": "3f0f0f0f-1111-4222-8333-444444444444", "audit show |": testUUID, "scan show |": "latest", "scan show 2|": "2", "scan show 0f|": testUUID, "scan list --server |": "acme",
		"file list --error-kind |": "permission", "file skip --error-step |": "after_ingest", "file failures --server |": "globex",
	} {
		words := strings.Split(strings.TrimSuffix(line, "|"), " ")
		wanted := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(want) + `(\t|$)`)
		got := execute(t, world(), append(args("__complete"), words...))
		require.Regexp(t, wanted, got.out, line)
		require.NotContains(t, got.out, "umbrella\t"+"ac")
	}
	require.NotContains(t, execute(t, world(), args("__complete", "server", "show", "ac")).out, "globex")
	failed := world()
	execute(t, failed, args("__complete", "file", "retry", ""))
	require.Equal(t, []ingest.Status{ingest.StatusError}, failed.Filter.Statuses, "a retry is for failed files")
	require.NotContains(t, execute(t, world(), args("__complete", "server", "show", "acme", "")).out, "globex", "completion stops after one argument")

	viewer := world()
	viewer.LogErr = ingest.Errorf(ingest.KindPermission, "the audit log requires the role admin")
	got := execute(t, viewer, args("__complete", "scan", "show", ""))
	require.Regexp(t, `(?m)^latest\t`, got.out)
	require.Regexp(t, `(?m)^2\t`, got.out, "ids are listed to viewers")
	require.Equal(t, 1, strings.Count(execute(t, world(), args("__complete", "scan", "show", "")).out, testUUID), "only entries of scans")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	ops := doubled(servicedouble.Service{TokenList: []ingest.Token{{Name: "ci", Role: ingest.RoleViewer, CreatedBy: "cli:ann", ExpiresAt: time.Unix(1, 0)}}})
	for _, expires := range []string{"30d", time.Now().UTC().Add(30 * 24 * time.Hour).Format(time.RFC3339)} {
		got := execute(t, ops, args("token", "create", "--name", "ci", "--role", "operator", "--expires", expires))
		require.Equal(t, 0, got.code, got.errors)
		require.Equal(t, "stv_secret\n", got.out)
		require.NotContains(t, got.errors, "stv_")
		require.WithinDuration(t, time.Now().Add(30*24*time.Hour), time.Now().Add(ops.NewToken.Expires), time.Minute)
		require.Equal(t, access.NewToken{Name: "ci", Role: ingest.RoleOperator, Expires: ops.NewToken.Expires}, ops.NewToken)
	}
	require.Contains(t, execute(t, ops, args("token", "list")).out, "expired")
	require.Equal(t, 1, execute(t, ops, args("token", "revoke", "ci"), person("n\n")).code)
	asked := execute(t, ops, args("token", "revoke", "ci"), person("y\n"))
	require.Equal(t, 0, asked.code, asked.errors)
	require.Contains(t, asked.errors, "revoke token ci? [y/N]")
}
