package sftp_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// keyServer starts a server that accepts one key with the listed signature algorithms.
func keyServer(t *testing.T, key ssh.PublicKey, algorithms ...string) ingest.Server {
	t.Helper()
	return fakeSSH(t, &ssh.ServerConfig{
		PublicKeyAuthAlgorithms: algorithms,
		PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
			if string(offered.Marshal()) != string(key.Marshal()) {
				return nil, errors.New("another key")
			}
			return nil, nil
		},
	}, hostile{}.serve)
}

func TestRSAKeysAndOldSignatures(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	creds := secrets{PrivateKey: services.PEM(t, key)}
	for name, algorithms := range map[string][]string{
		"sha2-512": {ssh.KeyAlgoRSASHA512}, "sha2-256": {ssh.KeyAlgoRSASHA256}, "sha-1": {ssh.KeyAlgoRSA},
	} {
		for _, legacy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s legacy=%v", name, legacy), func(t *testing.T) {
				t.Parallel()
				server := keyServer(t, signer.PublicKey(), algorithms...)
				server.LegacyAlgorithms = legacy
				session, err := newPool(t, sftp.Config{}, creds).Open(deadline(t), server)
				if name == "sha-1" && !legacy {
					requireKind(t, err, ingest.KindAuth, "ssh-rsa", "stevedore server edit acme --legacy-algorithms")
					return
				}
				require.NoError(t, err)
				require.NoError(t, session.Close())
			})
		}
	}
}

func TestUserCertificate(t *testing.T) {
	t.Parallel()
	_, authority, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(authority)
	require.NoError(t, err)
	_, own, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	public, err := ssh.NewPublicKey(own.Public())
	require.NoError(t, err)
	certificate := &ssh.Certificate{Key: public, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity, ValidPrincipals: []string{"u"}}
	require.NoError(t, certificate.SignCert(rand.Reader, signer))
	checker := &ssh.CertChecker{IsUserAuthority: func(key ssh.PublicKey) bool {
		return string(key.Marshal()) == string(signer.PublicKey().Marshal())
	}}
	server := fakeSSH(t, &ssh.ServerConfig{PublicKeyCallback: checker.Authenticate}, hostile{}.serve)
	plain := services.PEM(t, own)
	_, err = newPool(t, sftp.Config{}, secrets{PrivateKey: plain}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth)
	open(t, newPool(t, sftp.Config{}, secrets{PrivateKey: append(plain, ssh.MarshalAuthorizedKey(certificate)...)}), server)
}

// TestLegacyAlgorithms checks that the message names the server's algorithms and the flag,
// and that the login succeeds with the flag.
func TestLegacyAlgorithms(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config ssh.Config
		what   string
	}{
		"cipher": {ssh.Config{Ciphers: []string{ssh.InsecureCipherAES128CBC}}, "aes128-cbc"},
		"3des":   {ssh.Config{Ciphers: []string{ssh.InsecureCipherTripleDESCBC}}, "3des-cbc"},
		"kex":    {ssh.Config{KeyExchanges: []string{ssh.InsecureKeyExchangeDH1SHA1}}, "diffie-hellman-group1-sha1"},
		"mac":    {ssh.Config{MACs: []string{ssh.InsecureHMACSHA196}, Ciphers: []string{ssh.CipherAES128CTR}}, "hmac-sha1-96"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := fakeSSH(t, &ssh.ServerConfig{Config: test.config, PasswordCallback: passwordIs("pw")}, hostile{}.serve)
			_, err := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
			requireKind(t, err, ingest.KindServer, "offers no secure", test.what, "stevedore server edit acme --legacy-algorithms")
			server.LegacyAlgorithms = true
			open(t, newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}), server)
		})
	}
}

// TestUnsupportedAlgorithms checks that the flag is not suggested where it does not help.
func TestUnsupportedAlgorithms(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"Ciphers aes256-cbc,aes192-cbc"}})
	for _, legacy := range []bool{false, true} {
		b.server.LegacyAlgorithms = legacy
		_, err := tryOpen(t, b.pool, b.server)
		requireKind(t, err, ingest.KindServer, "aes256-cbc, aes192-cbc", "cannot use any of these")
		assert.NotContains(t, err.Error(), "--legacy-algorithms")
	}
}

// TestLegacyOffEndsWeakConnections checks that a connection made with the flag is not
// reused after the flag is cleared.
func TestLegacyOffEndsWeakConnections(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, &ssh.ServerConfig{Config: ssh.Config{Ciphers: []string{ssh.InsecureCipherAES128CBC}}, PasswordCallback: passwordIs("pw")}, hostile{}.serve)
	pool := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")})
	server.LegacyAlgorithms = true
	busy := open(t, pool, server)
	require.NoError(t, open(t, pool, server).Close())
	server.LegacyAlgorithms = false
	_, err := pool.Open(deadline(t), server)
	requireKind(t, err, ingest.KindServer, "offers no secure")
	require.NoError(t, busy.Close())
}

// limitedServer serves at most `most` SFTP channels at a time and closes further ones.
type limitedServer struct {
	most         int32
	now, refused atomic.Int32
	logins       atomic.Int32
}

func (l *limitedServer) server(t *testing.T) ingest.Server {
	return fakeSSH(t, &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		l.logins.Add(1)
		return nil, nil
	}}, func(channel ssh.Channel) {
		defer l.now.Add(-1)
		if n := l.now.Add(1); n > l.most {
			l.refused.Add(1)
			_ = channel.Close()
			return
		}
		hostile{fxpLstat: always(fxpAttrs, file(9))}.serve(channel)
	})
}

// TestServerConnectionLimits checks that sessions share the connections that the server
// accepts, and that none fails because of the limit.
func TestServerConnectionLimits(t *testing.T) {
	t.Parallel()
	for most := int32(1); most <= 2; most++ {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			l := &limitedServer{most: most}
			server := l.server(t)
			server.MaxParallel = 8
			pool := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")})
			var sessions []*sftp.Session
			for range 9 {
				session := open(t, pool, server)
				sessions = append(sessions, session)
			}
			var all sync.WaitGroup
			for _, session := range sessions {
				all.Go(func() {
					seen, err := session.Stat(deadline(t), "/in/f")
					assert.NoError(t, err)
					assert.EqualValues(t, 9, seen.Size)
				})
			}
			all.Wait()
			assert.EqualValues(t, 1, l.refused.Load(), "one refusal is enough to learn the limit")
			for _, session := range sessions {
				require.NoError(t, session.Close())
			}
		})
	}
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	l := &limitedServer{most: 1}
	server := l.server(t)
	server.MaxParallel, server.MaxConnections = 8, 1
	pool := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")})
	first, second := open(t, pool, server), open(t, pool, server)
	// The end of a context does not affect the other session.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := second.Stat(ctx, "/in/f")
	requireKind(t, err, ingest.KindTransient)
	require.NoError(t, second.Close())
	_, err = first.Stat(deadline(t), "/in/f")
	require.NoError(t, err)
	require.NoError(t, first.Close())
	assert.EqualValues(t, 1, l.logins.Load())
	assert.Zero(t, l.refused.Load())
}

// TestOneFileAtATimeIsOneConnection checks that with MaxParallel 1 a listing and a
// transfer share one connection.
func TestOneFileAtATimeIsOneConnection(t *testing.T) {
	t.Parallel()
	l := &limitedServer{most: 1}
	server := l.server(t)
	pool := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")})
	open(t, pool, server)
	open(t, pool, server)
	assert.EqualValues(t, 1, l.logins.Load())
}

// TestUnansweredGlobalRequests checks that servers without replies to global requests
// keep their connections.
func TestUnansweredGlobalRequests(t *testing.T) {
	t.Parallel()
	var logins atomic.Int32
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		logins.Add(1)
		return nil, nil
	}}
	server := fakeSSHWithoutReplies(t, config, hostile{fxpLstat: always(fxpAttrs, file(9))}.serve)
	pool := newPool(t, sftp.Config{FreshUse: time.Nanosecond, KeepaliveInterval: 100 * time.Millisecond}, secrets{Password: []byte("pw")})
	for range 3 {
		session := open(t, pool, server)
		_, err := session.Stat(deadline(t), "/in/f")
		require.NoError(t, err)
		require.NoError(t, session.Close())
	}
	assert.EqualValues(t, 1, logins.Load())
}

func TestExpiredPins(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, &ssh.ServerConfig{PasswordCallback: passwordIs("pw")}, hostile{}.serve)
	line := server.HostKeys[0][:len(server.HostKeys[0])-1]
	day := time.Date(2027, 1, 31, 23, 0, 0, 0, time.UTC)
	at := func(now time.Time) sftp.Config { return sftp.Config{Now: func() time.Time { return now }} }
	server.HostKeys = []string{line + " acme expires=2027-01-31"}
	open(t, newPool(t, at(day), secrets{Password: []byte("pw")}), server)
	_, err := newPool(t, at(day.Add(time.Hour)), secrets{Password: []byte("pw")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindHostKey, "whose pin expired on 2027-02-01", "--approve SHA256:")
	server.HostKeys = []string{line + " expires=soon"}
	_, err = newPool(t, at(day), secrets{Password: []byte("pw")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindHostKey, "expires=2027-01-31")
}

// proxyServer starts an HTTP proxy that counts its tunnels.
func proxyServer(t *testing.T, status int, headers ...string) (address string, tunnels *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	tunnels = new(atomic.Int32)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = near.Close() }()
				reader := bufio.NewReader(near)
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(near, "HTTP/1.1 %d %s\r\n%s\r\n", status, http.StatusText(status), strings.Join(headers, ""))
				far, err := net.Dial("tcp", request.Host)
				if err != nil || status != http.StatusOK {
					return
				}
				defer func() { _ = far.Close() }()
				tunnels.Add(1)
				go func() {
					_, _ = io.Copy(far, reader)
					_ = far.Close()
				}()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return listener.Addr().String(), tunnels
}

func TestHTTPProxy(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, &ssh.ServerConfig{PasswordCallback: passwordIs("pw")}, hostile{fxpLstat: always(fxpAttrs, file(9))}.serve)
	// A tunnel has no body, whatever the headers state.
	for _, header := range []string{"", "Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n"} {
		address, tunnels := proxyServer(t, http.StatusOK, header)
		server.Proxy = "http://" + address
		_, err := open(t, newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}), server).Stat(deadline(t), "/in/f")
		require.NoError(t, err, header)
		assert.EqualValues(t, 1, tunnels.Load())
	}

	address, _ := proxyServer(t, http.StatusForbidden)
	server.Proxy = "http://" + address
	_, err := newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "its proxy "+address, "403 Forbidden")
	for _, scheme := range []string{"http", "socks5"} {
		server.Proxy = scheme + "://127.0.0.1:1"
		_, err = newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
		requireKind(t, err, ingest.KindTransient, "its proxy 127.0.0.1:1", "refused")
		_, err = newPool(t, sftp.Config{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, secrets{}).Open(deadline(t), server)
		requireKind(t, err, ingest.KindForbiddenAddress)
	}
}

// directory is a Directory of fixed servers.
type directory []ingest.Server

func (d directory) ServerByName(_ context.Context, name string) (ingest.Server, error) {
	if at := slices.IndexFunc(d, func(s ingest.Server) bool { return s.Name == name }); at >= 0 {
		return d[at], nil
	}
	return ingest.Server{}, ingest.Errorf(ingest.KindMissing, "no server named %s", name)
}

func TestJumpHost(t *testing.T) {
	t.Parallel()
	// Two hops, forwarded by real OpenSSH servers.
	bastion := services.StartSSHD(t, services.SSHDOptions{})
	target := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	first, second := bastion.Server("first", "1"), bastion.Server("second", "2")
	second.Jump = "first"
	target.server.Jump = "second"
	keys := keysByUUID{"1": bastion.PrivateKeyPEM, "2": bastion.PrivateKeyPEM, target.server.UUID: target.PrivateKeyPEM}
	pool := sftp.NewPool(sftp.Config{AllowNetworks: loopback(), Directory: directory{first, second}}, keys)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	session := open(t, pool, target.server)
	_, err := session.Stat(deadline(t), target.Root)
	require.NoError(t, err)
	require.NoError(t, session.Close())

	for message, known := range map[string]directory{
		"its jump host second does not exist": {first},
		"form a loop":                         {func() ingest.Server { s := second; s.Jump = "second"; return s }()},
		"may be an attack":                    {first, func() ingest.Server { s := second; s.HostKeys = []string{target.HostKeyLine}; return s }()},
		"its jump host":                       {first, func() ingest.Server { s := second; s.HostKeys = nil; return s }()},
	} {
		other := sftp.NewPool(sftp.Config{AllowNetworks: loopback(), Directory: known}, keys)
		_, err := other.Open(deadline(t), target.server)
		require.Error(t, err)
		assert.True(t, ingest.KindOf(err).ServerLevel(), "%v", err)
		require.ErrorContains(t, err, message)
		require.NoError(t, other.Close())
	}
	private := target.server
	private.Host = "10.9.9.9"
	_, err = pool.Open(deadline(t), private)
	requireKind(t, err, ingest.KindForbiddenAddress, "10.9.9.9")
}

// keysByUUID has the private keys by server.
type keysByUUID map[string][]byte

func (k keysByUUID) Credentials(_ context.Context, server ingest.Server) (ingest.Credentials, error) {
	return ingest.Credentials{PrivateKey: k[server.UUID]}, nil
}

// TestForbiddenAddressesBehindProxies checks literal addresses in all notations, even if
// the proxy makes the connection.
func TestForbiddenAddressesBehindProxies(t *testing.T) {
	t.Parallel()
	pool := newPool(t, sftp.Config{}, secrets{})
	for host, network := range map[string]string{
		"10.9.9.9": "private", "::ffff:10.9.9.9": "private", "::ffff:a09:909": "private", "::10.9.9.9": "private", "::ffff:169.254.169.254": "link-local",
		"fe80::1%eth0": "link-local", "fd00::1%eth0": "private", "::ffff:100.64.0.1": "carrier-private", "2002:a09:909::": "translated", "::": "unspecified",
	} {
		_, err := pool.Open(deadline(t), ingest.Server{Name: "acme", Host: host, Port: 22, Options: ingest.Options{Proxy: "http://127.0.0.1:1"}})
		requireKind(t, err, ingest.KindForbiddenAddress, network)
	}
	// An allowed IPv4 address is also allowed in its IPv6 notation.
	_, err := pool.Open(deadline(t), ingest.Server{Name: "acme", Host: "::ffff:127.0.0.1", Port: 22, Options: ingest.Options{Proxy: "http://127.0.0.1:1"}})
	requireKind(t, err, ingest.KindTransient, "its proxy")
}

// TestOpenSSHWithSHA1Only checks an OpenSSH server that accepts only SHA-1 but lists
// every signature algorithm it was built with.
func TestOpenSSHWithSHA1Only(t *testing.T) {
	t.Parallel()
	path := rsaKey(t)
	key, err := os.ReadFile(path)
	require.NoError(t, err)
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"PubkeyAcceptedAlgorithms ssh-rsa", "AuthorizedKeysFile " + path + ".pub"}})
	pool := newPool(t, sftp.Config{}, secrets{PrivateKey: key})

	_, err = tryOpen(t, pool, b.server)
	requireKind(t, err, ingest.KindAuth, "stevedore server edit acme --legacy-algorithms")

	b.server.LegacyAlgorithms = true
	open(t, pool, b.server)
}
