package sftp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
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

// startProxy calls serve for each connection and returns its address.
func startProxy(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// socks serves SOCKS5 (RFC 1928) with an authentication method and a reply code; if both
// are 0 it connects and counts the tunnel.
func socks(method, code byte, tunnels *atomic.Int32) func(net.Conn) {
	return func(near net.Conn) {
		head := make([]byte, 2)
		if _, err := io.ReadFull(near, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, near, int64(head[1])); err != nil {
			return
		}
		if _, err := near.Write([]byte{5, method}); err != nil || method != 0 {
			return
		}
		address, err := socksAddress(near)
		if err != nil {
			return
		}
		if _, err := near.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil || code != 0 {
			return
		}
		far, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer func() { _ = far.Close() }()
		tunnels.Add(1)
		go func() {
			_, _ = io.Copy(far, near)
			_ = far.Close()
		}()
		_, _ = io.Copy(near, far)
	}
}

func socksAddress(near io.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(near, head); err != nil {
		return "", err
	}
	host := make([]byte, 4)
	if head[3] == 3 { // a host name
		var length [1]byte
		if _, err := io.ReadFull(near, length[:]); err != nil {
			return "", err
		}
		host = make([]byte, length[0])
	}
	var port [2]byte
	if _, err := io.ReadFull(near, host); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(near, port[:]); err != nil {
		return "", err
	}
	name := string(host)
	if head[3] == 1 {
		name = netip.AddrFrom4([4]byte(host)).String()
	}
	return fmt.Sprintf("%s:%d", name, binary.BigEndian.Uint16(port[:])), nil
}

func TestSOCKS5Proxy(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, &ssh.ServerConfig{PasswordCallback: passwordIs("pw")}, hostile{fxpLstat: always(fxpAttrs, file(9))}.serve)
	for _, host := range []string{"127.0.0.1", "localhost"} { // the proxy resolves names
		var tunnels atomic.Int32
		server.Host, server.Proxy = host, "socks5://"+startProxy(t, socks(0, 0, &tunnels))
		_, err := open(t, newPool(t, sftp.Config{}, secrets{Password: []byte("pw")}), server).Stat(deadline(t), "/in/f")
		require.NoError(t, err)
		assert.EqualValues(t, 1, tunnels.Load())
	}
}

// TestProxyFailures checks that the error names the proxy, and that no password is sent.
func TestProxyFailures(t *testing.T) {
	t.Parallel()
	saying := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
		}
	}
	for name, test := range map[string]struct {
		scheme  string
		serve   func(net.Conn)
		message string
	}{
		"HTTP, needs a password":   {"http", saying("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"), `it responded "407 Proxy Authentication Required"`},
		"HTTP, cannot connect":     {"http", saying("HTTP/1.1 502 Bad \"Gate\"way\x1b[2J\r\n\r\n"), `it responded "502 Bad 'Gate'way\x1b[2J"`},
		"HTTP, garbage":            {"http", saying("\x00\xff garbage\r\n"), "check the proxy"},
		"HTTP, endless headers":    {"http", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"); _ = linesForever(c, "X: y\r\n") }, "its response is too long"},
		"HTTP, never responds":     {"http", waitForEnd, "raise --connect-timeout"},
		"HTTP, hangs up":           {"http", saying(""), "check the proxy"},
		"SOCKS5, needs a password": {"socks5", socks(0xff, 0, nil), "check the proxy"},
		"SOCKS5, forbids":          {"socks5", socks(0, 2, nil), "not allowed"},
		"SOCKS5, host unreachable": {"socks5", socks(0, 4, nil), "host unreachable"},
		"SOCKS5, refused":          {"socks5", socks(0, 5, nil), "connection refused"},
		"SOCKS5, unknown code":     {"socks5", socks(0, 99, nil), "check the proxy"},
		"SOCKS5, garbage":          {"socks5", saying("HTTP/1.1 400 Bad Request\r\n\r\n"), "check the proxy"},
		"SOCKS5, never replies":    {"socks5", waitForEnd, "raise --connect-timeout"},
		"SOCKS5, hangs up":         {"socks5", saying(""), "check the proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := startProxy(t, test.serve)
			counted := &fakeBudget{}
			server := ingest.Server{
				UUID: "1", Name: "acme", Username: "u", RootPath: "/in", MaxParallel: 1, Host: "127.0.0.1", Port: 22,
				Options: ingest.Options{Proxy: test.scheme + "://" + address},
			}
			began := time.Now()
			_, err := newPool(t, sftp.Config{ConnectTimeout: 2 * time.Second, Passwords: counted}, secrets{Password: []byte("pw")}).Open(deadline(t), server)
			requireKind(t, err, ingest.KindTransient, "its proxy "+address, test.message)
			assert.Less(t, time.Since(began), time.Minute)
			assert.Less(t, len(err.Error()), 2000)
			assert.NotContains(t, err.Error(), "\x1b")
			assert.Empty(t, counted.results())
		})
	}
}

// TestPausedJumpHosts checks that a jump host is used even if it is paused, or suspended
// because it has no SFTP, and that errors name it.
func TestPausedJumpHosts(t *testing.T) {
	t.Parallel()
	bastion := services.StartSSHD(t, services.SSHDOptions{Config: []string{"Subsystem other /bin/false"}})
	target := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	target.server.Jump = "bastion"
	jump := bastion.Server("bastion", "1")
	jump.Active, jump.State = false, ingest.ServerSuspended
	keys := keysByUUID{"1": bastion.PrivateKeyPEM, target.server.UUID: target.PrivateKeyPEM}
	pool := sftp.NewPool(sftp.Config{AllowNetworks: loopback(), Directory: directory{jump}}, keys)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	session, err := tryOpen(t, pool, target.server)
	require.NoError(t, err)
	_, err = session.Stat(deadline(t), target.Root)
	require.NoError(t, err)
	require.NoError(t, session.Close())

	for message, change := range map[string]func(*ingest.Server){
		"its jump host: server bastion: cannot connect": func(s *ingest.Server) { s.Port = 1 },
		"its jump host: server bastion refused":         func(s *ingest.Server) { s.UUID = target.server.UUID },
		"run `stevedore server test bastion` first":     func(s *ingest.Server) { s.HostKeys = nil },
	} {
		broken := jump
		change(&broken)
		if broken.UUID != jump.UUID { // the credentials of another server
			broken.UUID = "other"
		}
		other := sftp.NewPool(sftp.Config{AllowNetworks: loopback(), Directory: directory{broken}}, keysByUUID{
			"1": bastion.PrivateKeyPEM, "other": target.PrivateKeyPEM, target.server.UUID: target.PrivateKeyPEM,
		})
		_, err := other.Open(deadline(t), target.server)
		require.ErrorContains(t, err, message)
		require.NoError(t, other.Close())
	}
}

// TestDraftsHaveTheirOwnBudget checks that a refused key of a draft counts for the draft, and
// one of its jump host for the jump host.
func TestDraftsHaveTheirOwnBudget(t *testing.T) {
	t.Parallel()
	bastion := services.StartSSHD(t, services.SSHDOptions{})
	target := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	target.server.Jump = "bastion"
	for refusing, want := range map[string][2][]ingest.LoginResult{
		"1":                {{ingest.LoginRefused}, nil},
		target.server.UUID: {{ingest.LoginAccepted}, {ingest.LoginRefused}},
	} {
		keys := keysByUUID{"1": bastion.PrivateKeyPEM, target.server.UUID: target.PrivateKeyPEM}
		keys[refusing] = pemKey(t)
		saved, draft := &fakeBudget{}, &fakeBudget{}
		pool := sftp.NewPool(sftp.Config{
			AllowNetworks: loopback(), Directory: directory{bastion.Server("bastion", "1")},
			Passwords: saved, DraftPasswords: draft, DraftUUID: target.server.UUID,
		}, keys)
		_, err := pool.Probe(deadline(t), target.server)
		require.Error(t, err)
		require.Equal(t, want, [2][]ingest.LoginResult{saved.keyResults, draft.keyResults}, "%v", err)
		require.NoError(t, pool.Close())
	}
}
