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
	// The two of x/crypto are left by log-ins that fail while the server goes on sending;
	// see meteredConn.readerStopped. Those of a connection that is open wait elsewhere.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("stevedore/internal/sftp_test.(*resolver).serve"),
		goleak.IgnoreTopFunction("golang.org/x/crypto/ssh.(*handshakeTransport).readLoop"),
		goleak.IgnoreTopFunction("golang.org/x/crypto/ssh.(*handshakeTransport).kexLoop"))
}

// secrets are the credentials of every server of a test.
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

// bench is a real OpenSSH server and a pool that may use it.
type bench struct {
	*services.SSHD
	server ingest.Server
	pool   *sftp.Pool
}

func newBench(t *testing.T, cfg sftp.Config, o services.SSHDOptions) *bench {
	t.Helper()
	sshd := services.StartSSHD(t, o)
	creds := secrets{PrivateKey: sshd.PrivateKeyPEM}
	return &bench{SSHD: sshd, server: sshd.Server("acme", uuid.NewString()), pool: newPool(t, cfg, creds)}
}

func (b *bench) open(t *testing.T) *sftp.Session {
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

// tryOpen opens a session. A machine that is short of time sometimes lets sshd's
// process for a connection die before it has said anything: that is not what
// any test is about.
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

// deadline bounds what a test waits for.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// list returns what the server shows, by path below root.
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

func requireKind(t *testing.T, err error, kind ingest.Kind, says ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, ingest.KindOf(err), "%v", err)
	for _, text := range says {
		require.ErrorContains(t, err, text)
	}
	require.NotContains(t, err.Error(), "\n")
}
