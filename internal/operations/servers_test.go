package operations

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// newKey returns a key pair: the public one as a line, the private one as PEM.
func newKey(t *testing.T, passphrase string) (line string, private []byte) {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(secret, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(secret, "", []byte(passphrase))
	}
	require.NoError(t, err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), pem.EncodeToMemory(block)
}

func TestAddServerSealsCredentials(t *testing.T) {
	t.Parallel()
	b := setup()
	line, private := newKey(t, "")
	added, err := b.AddServer(context.Background(), NewServer{
		Server:      ingest.Server{Name: "acme", Host: "sftp.example", Username: "u", HostKeys: []string{line}, Include: []string{"**/*.csv"}},
		Credentials: ingest.Credentials{Password: []byte("hunter2"), PrivateKey: private},
	})
	require.NoError(t, err)
	require.Equal(t, "11111111-2222-4333-8444-555555555555", added.UUID)
	require.True(t, added.Active)
	require.Equal(t, 22, added.Port)
	stored, err := testKeys.Credentials(t.Context(), added)
	require.NoError(t, err)
	require.Equal(t, "hunter2", string(stored.Password))
	key, err := ssh.ParsePrivateKey(stored.PrivateKey)
	require.NoError(t, err)
	require.Equal(t, line, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))))
}

func TestAddServerNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, locked := newKey(t, "passphrase")
	_, err := setup().AddServer(context.Background(), NewServer{
		Server: ingest.Server{
			Name: "a b", Port: 70000, RootPath: "x", MaxParallel: 999, Include: []string{"["}, Exclude: []string{"{"},
			HostKeys: []string{"sftp.example ssh-ed25519 AAAA"}, AfterIngest: "burn",
		},
		Credentials: ingest.Credentials{PrivateKey: locked},
	})
	var invalid *ingest.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	for _, word := range []string{"name", "host ", "port", "username", "path", "max-parallel", "include", "exclude", "host key", "after-ingest", "passphrase"} {
		require.True(t, strings.Contains(invalid.Error(), word), "%s is not named in %q", word, invalid.Error())
	}
}

func TestAddServerNeverQuotesAKey(t *testing.T) {
	t.Parallel()
	_, err := setup().AddServer(context.Background(), NewServer{
		Server:      ingest.Server{Name: "acme", Host: "h", Username: "u"},
		Credentials: ingest.Credentials{PrivateKey: []byte("canary-not-a-key")},
	})
	require.ErrorContains(t, err, "private key cannot be read")
	require.NotContains(t, err.Error(), "canary")
}

func TestAPasswordWithANULByteIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(ingest.Server{UUID: "u1", Name: "acme", Host: "h", Username: "u", PasswordEncrypted: []byte("x")}.WithDefaults(ingest.ServerDefaults{}))
	wide := []byte("p\x00a\x00")
	_, err := b.AddServer(context.Background(), NewServer{
		Server: ingest.Server{Name: "globex", Host: "g", Username: "u"}, Credentials: ingest.Credentials{Password: wide},
	})
	require.ErrorContains(t, err, "password: it holds a NUL byte")
	_, err = b.EditServer(context.Background(), "acme", AnyVersion, ServerEdit{Password: wide})
	require.ErrorContains(t, err, "password: it holds a NUL byte")
	require.NotContains(t, err.Error(), "p\x00a")
}

func TestAddServerTakenName(t *testing.T) {
	t.Parallel()
	_, err := setup(ingest.Server{UUID: "u1", Name: "acme"}).AddServer(context.Background(), NewServer{
		Server: ingest.Server{Name: "acme", Host: "h", Username: "u"}, Credentials: ingest.Credentials{Password: []byte("p")},
	})
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
}

func TestGetServerDistinguishesMissingRowFromMissingTable(t *testing.T) {
	t.Parallel()
	b := setup()
	_, err := b.GetServer(context.Background(), "unknown")
	require.ErrorIs(t, err, ingest.ErrNotFound)
	b.ledger.err = ingest.Wrap(ingest.KindMissing, errors.New("relation does not exist"), "run `stevedore migrate`")
	_, err = b.GetServer(context.Background(), "unknown")
	require.NotErrorIs(t, err, ingest.ErrNotFound)
	require.ErrorContains(t, err, "stevedore migrate")
}

func TestTestServerUnpinnedShowsFingerprint(t *testing.T) {
	t.Parallel()
	line, _ := newKey(t, "")
	b := setup(ingest.Server{UUID: "u1", Name: "acme", Active: true})
	b.prober.presented = ProbeResult{Fingerprint: Fingerprint(line), KeyLine: line}
	result, err := b.TestServer(context.Background(), "acme", TestRequest{})
	require.Equal(t, ingest.KindHostKey, ingest.KindOf(err))
	require.ErrorContains(t, err, "--approve "+Fingerprint(line))
	require.Equal(t, line, result.Presented.KeyLine)
	require.Empty(t, b.ledger.servers[0].HostKeys)
}

func TestTestServerApprovePinsOnlyTheNamedKey(t *testing.T) {
	t.Parallel()
	line, _ := newKey(t, "")
	old, _ := newKey(t, "")
	b := setup(ingest.Server{UUID: "u1", Name: "acme", Active: true, State: ingest.ServerSuspended, HostKeys: []string{old}})
	b.prober.presented = ProbeResult{Fingerprint: Fingerprint(line), KeyLine: line}

	_, err := b.TestServer(context.Background(), "acme", TestRequest{Approve: Fingerprint(old)})
	require.Equal(t, ingest.KindHostKey, ingest.KindOf(err))
	require.ErrorContains(t, err, "nothing was pinned")
	require.Equal(t, []string{old}, b.ledger.servers[0].HostKeys)
	require.Empty(t, b.ledger.resumed)

	result, err := b.TestServer(context.Background(), "acme", TestRequest{Approve: Fingerprint(line)})
	require.NoError(t, err)
	require.True(t, result.Pinned)
	require.True(t, result.Resumed)
	require.Equal(t, []string{old, line}, b.ledger.servers[0].HostKeys, "a name may lead to two nodes: approving drops no pin")

	result, err = b.TestServer(context.Background(), "acme", TestRequest{Approve: Fingerprint(line), Expires: "2027-01-31"})
	require.NoError(t, err)
	require.True(t, result.Pinned)
	require.Equal(t, []string{old, line + " expires=2027-01-31"}, b.ledger.servers[0].HostKeys, "the same key is pinned once")
	_, err = b.TestServer(context.Background(), "acme", TestRequest{Approve: Fingerprint(line), Expires: "soon"})
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
}

func TestTestServerFailedLoginKeepsSuspension(t *testing.T) {
	t.Parallel()
	line, _ := newKey(t, "")
	b := setup(ingest.Server{UUID: "u1", Name: "acme", Active: true, State: ingest.ServerSuspended, HostKeys: []string{line}})
	b.prober.presented = ProbeResult{Fingerprint: Fingerprint(line), KeyLine: line}
	b.prober.login = ingest.Errorf(ingest.KindAuth, "the server refused the password")
	_, err := b.TestServer(context.Background(), "acme", TestRequest{Approve: Fingerprint(line)})
	require.Equal(t, ingest.KindAuth, ingest.KindOf(err))
	require.Equal(t, 1, b.prober.calls, "every login counts towards a lock-out")
	require.Empty(t, b.ledger.resumed)
}

func TestTestServerDoesNotSwitchOnAPausedServer(t *testing.T) {
	t.Parallel()
	line, _ := newKey(t, "")
	b := setup(ingest.Server{UUID: "u1", Name: "acme", Active: false, State: ingest.ServerSuspended, HostKeys: []string{line}})
	b.prober.presented = ProbeResult{Fingerprint: Fingerprint(line), KeyLine: line}
	_, err := b.TestServer(context.Background(), "acme", TestRequest{})
	require.NoError(t, err)
	require.False(t, b.ledger.servers[0].Active)
}

// readsFailAfterChange is a ledger that cannot be read after a server was changed.
type readsFailAfterChange struct{ *fakeLedger }

func (l readsFailAfterChange) AddServer(ctx context.Context, server ingest.Server) (ingest.Server, error) {
	added, err := l.fakeLedger.AddServer(ctx, server)
	l.err = errors.New("the connection is lost")
	return added, err
}

func (l readsFailAfterChange) EditServer(ctx context.Context, uuid string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error) {
	edited, err := l.fakeLedger.EditServer(ctx, uuid, edit)
	l.err = errors.New("the connection is lost")
	return edited, err
}

func (l readsFailAfterChange) PauseServer(ctx context.Context, uuid string) error {
	err := l.fakeLedger.PauseServer(ctx, uuid)
	l.err = errors.New("the connection is lost")
	return err
}

// A client that is told of a failure repeats the change, which then conflicts with itself.
func TestCommittedChangesOfServersSucceed(t *testing.T) {
	t.Parallel()
	b := setup()
	b.d.Ledger = readsFailAfterChange{b.ledger}
	added, err := b.AddServer(t.Context(), NewServer{
		Server: ingest.Server{Name: "acme", Host: "sftp.example", Username: "u"}, Credentials: ingest.Credentials{Password: []byte("hunter2")},
	})
	require.NoError(t, err)
	require.Equal(t, "acme", added.Name)
	b.ledger.err = nil
	edited, err := b.EditServer(t.Context(), "acme", ServerVersion(added), ServerEdit{Settings: func(s *ingest.Server) { s.MaxParallel = 7 }})
	require.NoError(t, err)
	require.Equal(t, 7, edited.MaxParallel)
	b.ledger.err = nil
	paused, err := b.PauseServer(t.Context(), "acme")
	require.NoError(t, err)
	require.False(t, paused.Active)
}
