package access

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestTokensAreMadeUsedAndRevoked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := As(t.Context(), ingest.Principal{Name: "ann", Role: ingest.RoleAdmin})
	token, secret, err := b.CreateToken(ctx, NewToken{Name: "ci", Role: ingest.RoleOperator, Expires: 24 * time.Hour})
	require.NoError(t, err)
	require.Equal(t, "ann", token.CreatedBy)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), token.ExpiresAt, time.Minute)
	require.True(t, strings.HasPrefix(secret, "stv_"))
	require.Len(t, secret, len("stv_")+43, "256 random bits")

	who, err := b.Authenticate(ctx, DigestOf(secret))
	require.NoError(t, err)
	require.Equal(t, ingest.Principal{Name: "ci", Role: ingest.RoleOperator, TokenID: ingest.TokenID(DigestOf(secret))}, who)
	_, err = b.Authenticate(ctx, DigestOf(secret+"x"))
	require.ErrorIs(t, err, ErrRefused)

	_, err = b.RevokeToken(ctx, "ci")
	require.NoError(t, err)
	_, err = b.Authenticate(ctx, DigestOf(secret))
	require.ErrorIs(t, err, ErrRefused)
	_, err = b.RevokeToken(ctx, "unknown")
	require.ErrorIs(t, err, ingest.ErrNotFound)
	cookie, err := b.OpenSession(ctx, DigestOf(secret))
	require.NoError(t, err)
	digest, err := b.SessionToken(ctx, cookie)
	require.NoError(t, err)
	require.Equal(t, DigestOf(secret), digest)
	require.NoError(t, b.CloseSession(ctx, cookie))
	_, err = b.SessionToken(ctx, cookie)
	require.ErrorIs(t, err, ErrRefused)

	var log []string
	for _, e := range b.audited(t) {
		log = append(log, e.Actor+" "+e.Action+" "+e.Target+" "+string(e.Outcome))
		require.NotContains(t, e.Details, secret)
	}
	require.Equal(t, []string{"ann console.log_in ann done", "ann token.revoke unknown failed", "ann token.revoke ci done", "ann token.create ci done"}, log)
}

func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, err := b.CreateToken(t.Context(), NewToken{Name: "bootstrap", Role: "king", Expires: -1})
	var wrong *ingest.InvalidError
	require.ErrorAs(t, err, &wrong)
	require.Len(t, wrong.Fields, 3)
	for _, name := range []string{"stevedore", ingest.Unverified, ".", ".."} {
		_, _, err = b.CreateToken(t.Context(), NewToken{Name: name, Role: ingest.RoleViewer})
		require.ErrorAs(t, err, &wrong, name)
	}
	require.Empty(t, b.audited(t))
}

// TestNoTokenWithoutAnEntry: while the audit log cannot be written, no token is created.
func TestNoTokenWithoutAnEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ledger.auditErr = errors.New("full")
	_, _, err := b.CreateToken(t.Context(), NewToken{Name: "x", Role: ingest.RoleAdmin})
	require.ErrorContains(t, err, "full")
	tokens, err := b.ListTokens(t.Context())
	require.NoError(t, err)
	require.Empty(t, tokens)
}

// TestLostOutcomesAreLogged: the action has happened, so its result is returned.
func TestLostOutcomesAreLogged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ledger.outcomeErr = errors.New("connection lost")
	_, secret, err := b.CreateToken(t.Context(), NewToken{Name: "x", Role: ingest.RoleAdmin})
	require.NoError(t, err)
	require.Contains(t, b.log.String(), "action=token.create target=x outcome=done")
	require.Contains(t, b.log.String(), "connection lost")
	require.NotContains(t, b.log.String(), secret)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	require.True(t, ingest.RoleAdmin.Allows(ingest.RoleViewer))
	require.True(t, ingest.RoleOperator.Allows(ingest.RoleOperator))
	require.False(t, ingest.RoleViewer.Allows(ingest.RoleOperator))
	require.False(t, ingest.Role("king").Allows(ingest.RoleViewer))
	require.False(t, ingest.RoleAdmin.Allows("king"))
}

// TestAuditActionsAreKnown: the list has exactly the actions that are recorded, so that a
// filter with one of them is never refused.
func TestAuditActionsAreKnown(t *testing.T) {
	t.Parallel()
	recorded := map[string]bool{}
	for _, action := range []ingest.Action{ingest.ActionRetry, ingest.ActionSkip, ingest.ActionRenotify, ingest.ActionReprocess} {
		recorded["file."+string(action)] = true
	}
	named := regexp.MustCompile(`"((?:server|scan|file|audit|token|console|key)\.[a-z_]+)"`)
	for _, glob := range []string{"*.go", "../operations/*.go"} {
		paths, err := filepath.Glob(glob)
		require.NoError(t, err)
		for _, path := range paths {
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, action := range named.FindAllStringSubmatch(string(source), -1) {
				if !strings.HasSuffix(path, "_test.go") {
					recorded[action[1]] = true
				}
			}
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(recorded)), ingest.AuditActions)
}

func TestUnknownActionsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := setup(t).AuditLog(t.Context(), ingest.AuditFilter{Action: "foo"})
	var wrong *ingest.InvalidError
	require.ErrorAs(t, err, &wrong)
	require.Contains(t, wrong.Error(), "action: use one of server.create, ")
}
