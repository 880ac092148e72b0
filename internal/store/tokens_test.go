package store_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	digest := sha256.Sum256([]byte("one"))
	token := ingest.Token{Name: "ci", Role: ingest.RoleOperator, CreatedBy: "bootstrap"}
	added, err := b.AddToken(ctx, digest, token)
	require.NoError(t, err)
	require.Equal(t, "bootstrap", added.CreatedBy)
	require.True(t, added.ExpiresAt.IsZero() && added.LastUsedAt.IsZero() && added.RevokedAt.IsZero())
	again, err := b.AddToken(ctx, digest, token)
	require.NoError(t, err, "the same request again")
	require.Equal(t, added, again)
	_, err = b.AddToken(ctx, sha256.Sum256([]byte("two")), token)
	requireKind(t, ingest.KindConflict, err, "already exists")

	used, valid, err := b.UseToken(ctx, digest)
	require.NoError(t, err)
	require.True(t, valid)
	require.Equal(t, ingest.RoleOperator, used.Role)
	tokens, err := b.Tokens(ctx, 0)
	require.NoError(t, err)
	require.Len(t, tokens, 1)
	require.WithinDuration(t, time.Now(), tokens[0].LastUsedAt, time.Minute)
	_, _, err = b.UseToken(ctx, sha256.Sum256([]byte("two")))
	requireKind(t, ingest.KindMissing, err, "no such token")

	revoked, err := b.RevokeToken(ctx, "ci")
	require.NoError(t, err)
	require.False(t, revoked.RevokedAt.IsZero())
	_, valid, err = b.UseToken(ctx, digest)
	require.NoError(t, err)
	require.False(t, valid)
	_, err = b.RevokeToken(ctx, "unknown")
	requireKind(t, ingest.KindMissing, err, "unknown")
	_, err = b.AddToken(ctx, sha256.Sum256([]byte("two")), token)
	require.NoError(t, err, "a revoked token's name is free")
}

func TestTokensExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	digest := sha256.Sum256([]byte("one"))
	token := ingest.Token{Name: "ci", Role: ingest.RoleViewer, CreatedBy: "x", ExpiresAt: time.Now().Add(time.Hour)}
	_, err := b.AddToken(ctx, digest, token)
	require.NoError(t, err)
	_, valid, err := b.UseToken(ctx, digest)
	require.NoError(t, err)
	require.True(t, valid)
	b.exec(t, "UPDATE api_tokens SET expires_at = now()")
	_, valid, err = b.UseToken(ctx, digest)
	require.NoError(t, err)
	require.False(t, valid)
	_, err = b.AddToken(ctx, sha256.Sum256([]byte("two")), token)
	require.NoError(t, err, "an expired token's name is free")
}

func TestAuditLogOnlyGrows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	for i, action := range []string{"server.pause", "server.resume"} {
		entry := ingest.AuditEntry{
			Key: uuid.NewString(), Actor: "ann", Role: ingest.RoleOperator, Action: action, Target: "ac\x00me\xff",
			Details: map[string]any{"n": i},
		}
		require.NoError(t, b.Record(ctx, entry))
		require.NoError(t, b.Record(ctx, entry), "a repetition writes nothing")
	}
	entries, err := b.AuditLog(ctx, ingest.AuditFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, "server.resume", entries[0].Action)
	require.Equal(t, "ac\ufffdme\ufffd", entries[0].Target)
	older, err := b.AuditLog(ctx, ingest.AuditFilter{BeforeID: entries[0].ID, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, entries[1:], older)

	require.Equal(t, ingest.ActionUnknown, entries[0].Outcome)
	require.NoError(t, b.CompleteEntry(ctx, entries[0].Key, ingest.ActionFailed, "re\x00fused"))
	require.NoError(t, b.CompleteEntry(ctx, entries[0].Key, ingest.ActionDone, ""), "the first outcome counts")
	require.NoError(t, b.CompleteEntry(ctx, entries[1].Key, ingest.ActionDone, ""))
	require.NoError(t, b.CompleteEntry(ctx, uuid.NewString(), ingest.ActionDone, ""), "without an entry it writes nothing")
	latest := func(filter ingest.AuditFilter) (found []string) {
		list, err := b.AuditLog(ctx, filter)
		require.NoError(t, err)
		for _, e := range list {
			found = append(found, e.Action+" "+string(e.Outcome)+" "+e.Error)
		}
		return found
	}
	both := []string{"server.resume failed re\ufffdfused", "server.pause done "}
	for _, filter := range []ingest.AuditFilter{
		{}, {Actor: "ann"}, {Target: entries[0].Target}, {From: entries[1].At}, {To: entries[0].At.Add(time.Microsecond)},
	} {
		require.Equal(t, both, latest(filter), "%+v", filter)
	}
	require.Equal(t, both[1:], latest(ingest.AuditFilter{Actor: "ann", Action: "server.pause"}))
	require.Equal(t, both[:1], latest(ingest.AuditFilter{From: entries[0].At}))
	require.Equal(t, both[1:], latest(ingest.AuditFilter{To: entries[0].At}))
	require.Empty(t, latest(ingest.AuditFilter{Actor: "bob"}))
	for statement, refusal := range map[string]string{
		"UPDATE audit_log SET actor = 'x'": "append-only: UPDATE refused",
		"DELETE FROM audit_log":            "append-only: DELETE refused",
		"TRUNCATE audit_log":               "append-only: TRUNCATE refused",
		"DELETE FROM audit_outcomes":       "append-only: DELETE refused",
		"INSERT INTO api_tokens (name, token_sha256, role, created_by) VALUES ('bootstrap', sha256('x'), 'admin', 'x')": "api_tokens_name",
		"INSERT INTO api_tokens (name, token_sha256, role, created_by) VALUES ('x', sha256('x'), 'king', 'x')":          "api_tokens_role",
	} {
		_, err := b.db.Exec(ctx, statement)
		assert.ErrorContains(t, err, refusal)
	}
}
