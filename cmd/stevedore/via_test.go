package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
	"stevedore/internal/remote"
)

// failing is a service whose every listing fails.
type failing struct {
	api.Operations
	err error
}

func (f failing) ListServers(context.Context) ([]ingest.Server, error) { return nil, f.err }

func (f failing) Authenticate(context.Context, string) (ingest.Principal, error) {
	return ingest.Principal{}, admin.TokenRefused{}
}

// byAPI makes the app ask a running API with the token.
func byAPI(t *testing.T, ops api.Operations, token string) with {
	t.Helper()
	server := httptest.NewServer(api.NewHandler(api.Deps{Operations: ops, StartTimeout: time.Minute, Token: "bootstrap", Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	return func(a *app) {
		a.environ = []string{"STEVEDORE_API_URL=" + server.URL, "STEVEDORE_TOKEN=" + token}
		a.open = nil
		a.dial = dial
	}
}

// TestExitCodesAreTheSameByAPI: a script need not know where a command runs.
func TestExitCodesAreTheSameByAPI(t *testing.T) {
	t.Parallel()
	wrong := &admin.InvalidError{Fields: []ingest.FieldError{{Field: "name", Message: "name: odd"}}}
	for name, tc := range map[string]struct {
		err  error
		code int
	}{
		"ok":             {nil, exitOK},
		"unclassified":   {errors.New("odd"), exitOther},
		"fields":         {ingest.Wrap(ingest.KindInvalid, wrong, "cannot"), exitUsage},
		"paused server":  {ingest.Errorf(ingest.KindInvalid, "server x is paused"), exitPermanent},
		"not found":      {ingest.Wrap(ingest.KindMissing, admin.ErrNotFound, "no server"), exitNotFound},
		"old schema":     {ingest.Wrap(ingest.KindMissing, errors.New("x"), "run migrate"), exitRetryable},
		"database down":  {ingest.Errorf(ingest.KindTransient, "cannot reach PostgreSQL"), exitRetryable},
		"too slow":       {ingest.Wrap(ingest.KindTransient, context.DeadlineExceeded, "no answer in time"), exitRetryable},
		"conflict":       {ingest.Errorf(ingest.KindConflict, "taken"), exitPermanent},
		"stale":          {ingest.Wrap(ingest.KindConflict, admin.ErrStale, "read it again"), exitPermanent},
		"auth":           {ingest.Errorf(ingest.KindAuth, "the password was refused"), exitPermanent},
		"host key":       {ingest.Errorf(ingest.KindHostKey, "not pinned"), exitPermanent},
		"permission":     {ingest.Errorf(ingest.KindPermission, "denied"), exitPermanent},
		"forbidden host": {ingest.Errorf(ingest.KindForbiddenAddress, "private"), exitPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			local := execute(t, &fakeOperations{err: tc.err}, args("server", "list"))
			require.Equal(t, tc.code, local.code, local.errors)
			remote := execute(t, nil, args("server", "list"), byAPI(t, failing{err: tc.err}, "bootstrap"))
			require.Equal(t, tc.code, remote.code, remote.errors)
			if tc.code > exitUsage {
				require.Equal(t, local.errors, remote.errors, "the same words, too")
			}
		})
	}
	require.Equal(t, exitDifferences, exitCode(differencesError{1}))
	require.Equal(t, exitDifferences, execute(t, &fakeOperations{audit: auditOf(1)}, args("audit"), auditEnviron()).code)
}

func auditOf(wrong int64) admin.AuditSummary {
	return admin.AuditSummary{Servers: 1, Summary: oracle.Summary{Marks: map[oracle.Mark]int64{oracle.Wrong: wrong}}}
}

func auditEnviron() with {
	return environ("STEVEDORE_S3_ENDPOINT=h:1", "STEVEDORE_S3_ACCESS_KEY=a", "STEVEDORE_S3_SECRET_KEY=s", "STEVEDORE_KEYSET_FILE=/k")
}

func TestRefusedAndMissingTokensSayWhatToDo(t *testing.T) {
	t.Parallel()
	refused := execute(t, nil, args("server", "list"), byAPI(t, failing{}, "stv_old"))
	require.Equal(t, exitPermanent, refused.code)
	require.Contains(t, refused.errors, "unknown, expired or revoked; ask an admin for a token")
	missing := execute(t, nil, args("server", "list"), byAPI(t, failing{}, ""))
	require.Equal(t, exitPermanent, missing.code)
	require.Contains(t, missing.errors, "STEVEDORE_TOKEN is not set: ask an admin for a token")
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	got := execute(t, nil, args("server", "list", "--via", "api", "--api-url", "http://127.0.0.1:1"), environ("STEVEDORE_TOKEN=t"),
		func(a *app) { a.dial = dial })
	require.Equal(t, exitRetryable, got.code)
	require.Contains(t, got.errors, "cannot reach the API at http://127.0.0.1:1")
}

func TestViaIsChosen(t *testing.T) {
	t.Parallel()
	const database, token = "STEVEDORE_DATABASE_URL=postgres://h/x", "STEVEDORE_TOKEN=t"
	for name, tc := range map[string]struct {
		environ []string
		line    []string
		want    string
	}{
		"database":            {[]string{database, token}, nil, "local"},
		"no database":         {[]string{token}, nil, "api"},
		"flag":                {[]string{database, token}, args("--via", "api"), "api"},
		"variable":            {[]string{database, token, "STEVEDORE_VIA=api"}, nil, "api"},
		"flag beats variable": {[]string{database, token, "STEVEDORE_VIA=api"}, args("--via", "local"), "local"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			used := ""
			got := execute(t, &fakeOperations{}, append(args("server", "list"), tc.line...), func(a *app) {
				a.environ = tc.environ
				a.open = func(config.Config, *slog.Logger) localOperations { used = "local"; return &fakeOperations{} }
				a.dial = func(config.Config) (operations, error) { used = "api"; return &fakeOperations{}, nil }
			})
			require.Equal(t, exitOK, got.code, got.errors)
			require.Equal(t, tc.want, used)
		})
	}
	odd := execute(t, &fakeOperations{}, args("server", "list", "--via", "post"))
	require.Equal(t, exitPermanent, odd.code)
	require.Contains(t, odd.errors, "STEVEDORE_VIA is \"post\": use auto, local or api")
}

// TestAuditByAPI needs none of the parts' addresses.
func TestAuditByAPI(t *testing.T) {
	t.Parallel()
	got := execute(t, nil, args("audit", "--via", "api"), environ("STEVEDORE_TOKEN=t"), func(a *app) {
		a.dial = func(config.Config) (operations, error) { return &fakeOperations{audit: auditOf(1)}, nil }
	})
	require.Equal(t, exitDifferences, got.code, got.errors)
	require.Contains(t, got.out, "1 wrong (!)")
}

func TestLocalCommandsSaySo(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{args("setup"), args("migrate"), args("worker"), args("api"), args("key", "rotate")} {
		got := execute(t, &fakeOperations{}, append(line, "--via", "api"), environ("STEVEDORE_TOKEN=t"))
		require.Equal(t, exitUsage, got.code, "%s: %s", line, got.errors)
		require.Contains(t, got.errors, "cannot be done by the API")
		require.Empty(t, got.out)
	}
}

var _ operations = (*remote.Client)(nil)
