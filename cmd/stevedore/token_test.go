package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

func TestTokenCreatePrintsTheSecretAlone(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{}
	got := execute(t, ops, args("token", "create", "--name", "ci", "--role", "operator", "--expires", "30d"))
	require.Equal(t, 0, got.code, got.errors)
	require.Equal(t, "stv_shown\n", got.out)
	require.NotContains(t, got.errors, "stv_")
	require.Equal(t, access.NewToken{Name: "ci", Role: ingest.RoleOperator, Expires: 30 * 24 * time.Hour}, ops.token)
	for _, wrong := range []string{"30", "-1d", "0d", "x", "d"} {
		require.Equal(t, 2, execute(t, ops, args("token", "create", "--name", "ci", "--role", "viewer", "--expires", wrong)).code, wrong)
	}
}

func TestTokenListAndRevoke(t *testing.T) {
	t.Parallel()
	ops := &fakeOperations{tokens: []ingest.Token{
		{Name: "ci", Role: ingest.RoleViewer, CreatedBy: "cli:ann", ExpiresAt: time.Unix(1, 0)},
	}}
	got := execute(t, ops, args("token", "list"))
	require.Contains(t, got.out, "expired")
	require.Contains(t, execute(t, ops, args("token", "list", "-o", "json")).out, `"state":"expired"`)
	require.Contains(t, execute(t, ops, args("token", "revoke", "ci", "--yes")).out, "revoked since 1970-01-01")
	require.Equal(t, 3, execute(t, ops, args("token", "revoke", "nobody", "--yes")).code)

	require.Equal(t, 2, execute(t, ops, args("token", "revoke", "ci")).code, "nobody can be asked")
	require.Equal(t, 1, execute(t, ops, args("token", "revoke", "ci"), person("n\n")).code)
	asked := execute(t, ops, args("token", "revoke", "ci"), person("y\n"))
	require.Equal(t, 0, asked.code, asked.errors)
	require.Contains(t, asked.errors, "revoke token ci? [y/N]")
}
