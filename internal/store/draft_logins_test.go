package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
)

func TestDraftLoginsAreBoundedByAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	draft := ingest.Server{UUID: "11111111-2222-4333-8444-555555555555", Name: "draft", Host: "sftp.example.com", Port: 22, Username: "u"}
	logins := store.DraftLogins{Store: b.Store}
	try := func(server ingest.Server, outcome ingest.LoginResult) error {
		if err := logins.CheckPassword(ctx, server); err != nil {
			return err
		}
		id, err := logins.ReservePassword(ctx, server)
		if err != nil {
			return err
		}
		return logins.RecordPasswordResult(ctx, server, id, outcome)
	}
	require.NoError(t, try(draft, ingest.LoginRefused))
	require.NoError(t, try(draft, ingest.LoginAccepted), "clears the count")
	require.NoError(t, try(draft, ingest.LoginRefused))
	require.NoError(t, try(draft, ingest.LoginUnanswered))

	again := draft
	again.UUID, again.Host = "22222222-2222-4333-8444-555555555555", "SFTP.example.com.."
	requireKind(t, ingest.KindTransient, try(again, ingest.LoginAccepted), "servers lock accounts")
	_, err := logins.ReservePassword(ctx, again)
	requireKind(t, ingest.KindTransient, err, "servers lock accounts")
	requireKind(t, ingest.KindTransient, logins.CheckKey(ctx, again), "servers lock accounts")
	other := draft
	other.Username = "another"
	require.NoError(t, try(other, ingest.LoginRefused))

	b.exec(t, `UPDATE draft_logins SET last_at = now() - interval '15 minutes'`)
	require.NoError(t, try(again, ingest.LoginRefused), "after the pause")

	require.NoError(t, logins.RecordKeyResult(ctx, other, ingest.LoginRefused))
	require.NoError(t, logins.CheckKey(ctx, other))
	require.NoError(t, logins.RecordKeyResult(ctx, other, ingest.LoginUnanswered))
	requireKind(t, ingest.KindTransient, logins.CheckKey(ctx, other), "servers lock accounts")
	require.NoError(t, logins.RecordKeyResult(ctx, other, ingest.LoginAccepted))
	require.NoError(t, logins.CheckKey(ctx, other))
}

// TestEditLoginsCountForTheSavedServer: an edit that keeps the stored password permits no other
// attempt with it, and its refusals count.
func TestEditLoginsCountForTheSavedServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sealPassword(t, "one")
	edited := b.server
	edited.RootPath, edited.PasswordEncrypted = "/in", []byte("one, sealed for fewer host keys")
	logins := store.EditLogins{DraftLogins: store.DraftLogins{Store: b.Store}, Saved: b.server}
	for range ingest.MaxRefusedPasswords {
		require.NoError(t, logins.CheckPassword(t.Context(), edited))
		id, err := logins.ReservePassword(t.Context(), edited)
		require.NoError(t, err)
		require.NoError(t, logins.RecordPasswordResult(t.Context(), edited, id, ingest.LoginRefused))
	}
	requireKind(t, ingest.KindAuth, logins.CheckPassword(t.Context(), edited), "2 times")
	requireKind(t, ingest.KindAuth, b.CheckPassword(t.Context(), b.server), "2 times")
	_, err := logins.ReservePassword(t.Context(), edited)
	requireKind(t, ingest.KindAuth, err, "2 times")
}
