package operations

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// An edit of the destination requires the credential again. Otherwise an editor, or a writer
// of the row, could send the stored password to a host of their choice.
func TestAnEditAsksForTheCredentialAgain(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	pin, _ := newKey(t, "")
	other, _ := newKey(t, "")
	_, err := r.EditServer(ctx, "a", AnyVersion, ServerEdit{
		Settings: func(s *ingest.Server) { s.HostKeys = []string{pin} }, Password: []byte("password of a"),
	})
	require.NoError(t, err)
	for field, change := range map[string]func(*ingest.Server){
		"host":      func(s *ingest.Server) { s.Host = "evil.example.com" },
		"port":      func(s *ingest.Server) { s.Port = 2222 },
		"username":  func(s *ingest.Server) { s.Username = "x" },
		"host_keys": func(s *ingest.Server) { s.HostKeys = []string{pin, other} },
		"proxy":     func(s *ingest.Server) { s.Proxy = "socks5://evil.example.com:1080" },
		"jump":      func(s *ingest.Server) { s.Jump = "b" },
	} {
		_, err := r.EditServer(ctx, "a", AnyVersion, ServerEdit{Settings: change})
		var invalid *ingest.InvalidError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, "password", invalid.Fields[0].Field, field)
		require.Contains(t, invalid.Fields[0].Message, field+" of the server changed")
		_, err = r.EditServer(ctx, "a", AnyVersion, ServerEdit{Settings: change, PrivateKey: []byte{}})
		require.ErrorAs(t, err, &invalid, field, "another credential does not replace this one")
		_, err = r.EditServer(ctx, "a", AnyVersion, ServerEdit{Settings: change, Password: []byte("password of a")})
		require.NoError(t, err, field)
		r.requireAll(t, 3)
		_, err = r.EditServer(ctx, "a", AnyVersion, ServerEdit{Password: []byte("password of a"), Settings: func(s *ingest.Server) {
			s.Host, s.Port, s.Username, s.HostKeys, s.Proxy, s.Jump = "sftp.example.com", 22, "u", []string{pin}, "", ""
		}})
		require.NoError(t, err)
	}
	// A change that adds no receiver of the secret does not require it.
	_, err = r.EditServer(ctx, "a", AnyVersion, ServerEdit{Settings: func(s *ingest.Server) { s.HostKeys, s.RootPath = nil, "/in" }})
	require.NoError(t, err)
	r.requireAll(t, 3)
}

// TestATestOfAnEditAsksForTheCredentialAgain: a test sends the stored password to the stored
// destination only, and stores nothing.
func TestATestOfAnEditAsksForTheCredentialAgain(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	line, _ := newKey(t, "")
	prober := &fakeProber{presented: ProbeResult{Fingerprint: Fingerprint(line), KeyLine: line}}
	r.d.Prober = prober
	before, err := r.GetServer(ctx, "a")
	require.NoError(t, err)
	moved := func(s *ingest.Server) { s.Host = "evil.example.com" }
	for _, edit := range []ServerEdit{{Settings: moved}, {Settings: moved, PrivateKey: []byte{}}} {
		_, err := r.TestEdit(ctx, "a", AnyVersion, edit, false)
		var invalid *ingest.InvalidError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, "password", invalid.Fields[0].Field)
	}
	_, err = r.TestEdit(ctx, "a", "another version", ServerEdit{}, false)
	require.ErrorIs(t, err, ingest.ErrStale)
	require.Empty(t, prober.drafts)

	pinned := func(s *ingest.Server) { s.RootPath, s.HostKeys = "/in", []string{line} }
	result, err := r.TestEdit(ctx, "a", AnyVersion, ServerEdit{Settings: pinned, Password: []byte("password of a")}, false)
	require.NoError(t, err)
	require.Equal(t, before.UUID, result.Server.UUID)
	_, err = r.TestEdit(ctx, "a", AnyVersion, ServerEdit{Settings: func(s *ingest.Server) { s.RootPath = "/in" }}, false)
	require.ErrorContains(t, err, "its host key is not pinned yet")
	_, err = r.TestEdit(ctx, "a", AnyVersion, ServerEdit{Settings: moved, Password: []byte("password of a")}, false)
	require.Error(t, err)
	require.Len(t, prober.drafts, 3)
	require.NotEqual(t, before.PasswordEncrypted, prober.drafts[0].PasswordEncrypted)
	require.Equal(t, before.PasswordEncrypted, prober.drafts[1].PasswordEncrypted)
	require.Equal(t, "/in", prober.drafts[1].RootPath)
	require.Equal(t, "evil.example.com", prober.drafts[2].Host)
	require.False(t, prober.drafts[0].KeepsPassword, "an entered password counts for its account")
	require.True(t, prober.drafts[1].KeepsPassword, "the stored one for its server")
	require.Equal(t, before.PasswordEncrypted, prober.drafts[1].Saved.PasswordEncrypted)
	require.False(t, prober.drafts[2].KeepsPassword)
	after, err := r.GetServer(ctx, "a")
	require.NoError(t, err)
	after.ReadAt = before.ReadAt
	require.Equal(t, before, after, "nothing is stored")
}

// TestApprovalReseals checks that an operator can pin a key without the secret, unless
// the server was changed in the meantime.
func TestApprovalReseals(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	line, _ := newKey(t, "")
	prober := &fakeProber{presented: ProbeResult{Fingerprint: Fingerprint(line), KeyLine: line}}
	r.d.Prober = prober
	_, err := r.TestServer(ctx, "a", TestRequest{Approve: Fingerprint(line)})
	require.NoError(t, err)
	r.requireAll(t, 3)

	server, err := r.GetServer(ctx, "b")
	require.NoError(t, err)
	_, err = r.ledger.EditServer(ctx, server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.Host = "evil.example.com"
		return s, nil
	})
	require.NoError(t, err)
	_, err = r.TestServer(ctx, "b", TestRequest{Approve: Fingerprint(line)})
	require.ErrorContains(t, err, "was not sent")
	server, err = r.GetServer(ctx, "b")
	require.NoError(t, err)
	require.Empty(t, server.HostKeys)
	_, err = r.RotateKey(ctx, RotateRequest{})
	require.ErrorContains(t, err, "server edit b --password-file", "a rotation does not launder it")
}

// TestRemovedPinKeepsRefusedPasswords checks that an edit without credentials permits no other
// password, although removing a pin encrypts the stored one again.
func TestRemovedPinKeepsRefusedPasswords(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	pin, _ := newKey(t, "")
	other, _ := newKey(t, "")
	server, err := r.EditServer(ctx, "a", AnyVersion, ServerEdit{
		Settings: func(s *ingest.Server) { s.HostKeys = []string{pin, other} }, Password: []byte("wrong"),
	})
	require.NoError(t, err)
	for range ingest.MaxRefusedPasswords {
		id, err := r.ledger.ReservePassword(ctx, server)
		require.NoError(t, err)
		require.NoError(t, r.ledger.RecordPasswordResult(ctx, server, id, ingest.LoginRefused))
	}
	for _, change := range []func(*ingest.Server){
		func(s *ingest.Server) { s.HostKeys = []string{pin} },
		func(s *ingest.Server) { s.RootPath = "/in" },
		func(s *ingest.Server) { s.Name = "renamed" },
	} {
		server, err = r.EditServer(ctx, server.UUID, AnyVersion, ServerEdit{Settings: change})
		require.NoError(t, err)
		require.ErrorContains(t, r.ledger.CheckPassword(ctx, server), "the password is not sent again")
	}
	server, err = r.EditServer(ctx, server.UUID, AnyVersion, ServerEdit{Password: []byte("wrong")})
	require.NoError(t, err)
	require.NoError(t, r.ledger.CheckPassword(ctx, server), "entered again")
}
