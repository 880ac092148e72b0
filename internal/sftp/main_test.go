package sftp_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

func TestMain(m *testing.M) {
	if err := rebinding.install(); err != nil {
		panic(err)
	}
	// x/crypto leaks these two goroutines if a login fails while the server continues to
	// send; see meteredConn.readerStopped. On an open connection they block in other
	// functions.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("stevedore/internal/sftp_test.(*resolver).serve"),
		goleak.IgnoreTopFunction("golang.org/x/crypto/ssh.(*handshakeTransport).readLoop"),
		goleak.IgnoreTopFunction("golang.org/x/crypto/ssh.(*handshakeTransport).kexLoop"))
}

// secrets are the credentials of all servers of a test.
type secrets ingest.Credentials

func (s secrets) Credentials(context.Context, ingest.Server) (ingest.Credentials, error) {
	return ingest.Credentials(s), nil
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func newPool(t *testing.T, cfg sftp.Config, creds secrets) *sftp.Pool {
	t.Helper()
	if cfg.AllowNetworks == nil {
		cfg.AllowNetworks = loopback()
	}
	pool := sftp.NewPool(cfg, creds)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	return pool
}

// sshdFixture is a real OpenSSH server and a pool with its credentials.
type sshdFixture struct {
	*services.SSHD
	server ingest.Server
	pool   *sftp.Pool
}

func newSSHDFixture(t *testing.T, cfg sftp.Config, o services.SSHDOptions) *sshdFixture {
	t.Helper()
	sshd := services.StartSSHD(t, o)
	creds := secrets{PrivateKey: sshd.PrivateKeyPEM}
	return &sshdFixture{SSHD: sshd, server: sshd.Server("acme", uuid.NewString()), pool: newPool(t, cfg, creds)}
}

func (b *sshdFixture) open(t *testing.T) *sftp.Session {
	t.Helper()
	return open(t, b.pool, b.server)
}

func open(t *testing.T, pool *sftp.Pool, server ingest.Server) *sftp.Session {
	t.Helper()
	session, err := tryOpen(t, pool, server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// tryOpen opens a session. It retries, because on a loaded machine sshd sometimes closes
// a connection before it has sent anything.
func tryOpen(t *testing.T, pool *sftp.Pool, server ingest.Server) (session *sftp.Session, err error) {
	t.Helper()
	for range 3 {
		session, err = pool.Open(deadline(t), server)
		if err == nil || !strings.Contains(err.Error(), "closed the connection immediately") {
			break
		}
	}
	return session, err
}

// deadline returns a context that bounds the waits of a test.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// list returns the observations of a listing by path below root, and the number of
// unreadable folders.
func list(t *testing.T, session *sftp.Session, root string) (map[string]ingest.Observation, int64) {
	t.Helper()
	seen := make(map[string]ingest.Observation)
	unread, err := session.List(deadline(t), ingest.ListRequest{}, func(o ingest.Observation) error {
		rel := o.Path[len(root)+1:]
		require.NotContains(t, seen, rel)
		seen[rel] = o
		return nil
	})
	require.NoError(t, err)
	return seen, unread.Count
}

func requireKind(t *testing.T, err error, kind ingest.Kind, message ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, ingest.KindOf(err), "%v", err)
	for _, text := range message {
		require.ErrorContains(t, err, text)
	}
	require.NotContains(t, err.Error(), "\n")
}
