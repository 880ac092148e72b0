package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// TestExitCodes: exit codes and messages survive the way through the API.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	wrong := &ingest.InvalidError{Fields: []ingest.FieldError{{Field: "name", Message: "name: odd"}}}
	for name, tc := range map[string]struct {
		err  error
		code int
		want string
	}{
		"ok":             {nil, exitOK, ""},
		"unclassified":   {errors.New("canary: odd"), exitOther, "inside stevedore"},
		"fields":         {ingest.Wrap(ingest.KindInvalid, wrong, "cannot"), exitUsage, "name: odd"},
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
			got := execute(t, &fakeOperations{err: tc.err}, args("server", "list"))
			require.Equal(t, tc.code, got.code, got.errors)
			require.Contains(t, got.errors, tc.want)
			if tc.err != nil {
				require.Regexp(t, `^stevedore: .*\n$`, got.errors, "one line")
			}
		})
	}
	require.Equal(t, exitDifferences, exitCode(differencesError{1}))
}

func TestRefusedAndMissingTokens(t *testing.T) {
	t.Parallel()
	refused := execute(t, world(), args("server", "list"), environ("STEVEDORE_TOKEN=stv_old"))
	require.Equal(t, exitPermanent, refused.code)
	require.Contains(t, refused.errors, "unknown, expired or revoked; ask an admin for a token")
	missing := execute(t, world(), args("server", "list"), environ("STEVEDORE_TOKEN="))
	require.Equal(t, exitPermanent, missing.code)
	require.Contains(t, missing.errors, "STEVEDORE_TOKEN is not set: ask an admin for a token")
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	got := execute(t, world(), args("server", "list", "--api-url", "http://127.0.0.1:1"))
	require.Equal(t, exitRetryable, got.code)
	require.Contains(t, got.errors, "cannot reach the API at http://127.0.0.1:1")
}

// serviceFake is what fakeOperations and the types that embed it fake.
type serviceFake interface {
	operations.Operations
	access.Access
}

// privately serves the fake as the private API of break-glass.
func privately(t *testing.T, ops serviceFake, actor *string) with {
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
	away := environ("STEVEDORE_API_URL=http://127.0.0.1:1", "STEVEDORE_TOKEN=", "STEVEDORE_KEYSET_FILE=/k")
	got := execute(t, world(), args("break-glass", "--", "server", "list", "-o", "jsonl"), away, privately(t, world(), &actor))
	require.Equal(t, exitOK, got.code, got.errors)
	require.Contains(t, got.out, `"name":"acme"`)
	require.Contains(t, actor, "cli")
	got = execute(t, world(), args("break-glass", "--", "server", "show", "unknown"), away, privately(t, world(), &actor))
	require.Equal(t, exitNotFound, got.code)
	require.Equal(t, "stevedore: no server is called \"unknown\"\n", got.errors, "the error appears once")
	got = execute(t, world(), args("break-glass", "--", "server", "list"), environ("STEVEDORE_DATABASE_URL=", "STEVEDORE_KEYSET_FILE=/k"), privately(t, world(), &actor))
	require.Equal(t, exitPermanent, got.code)
	require.Contains(t, got.errors, "`stevedore break-glass`")
	require.Contains(t, got.errors, "STEVEDORE_DATABASE_URL")
}
