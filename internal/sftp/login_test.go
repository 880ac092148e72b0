package sftp_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

func TestPasswordLogin(t *testing.T) {
	t.Parallel()
	sshd := services.StartSSHD(t, services.SSHDOptions{Password: "right-canary"})
	server := sshd.Server("acme", uuid.NewString())

	session := open(t, newPool(t, sftp.Config{}, secrets{Password: []byte("right-canary")}), server)
	_, err := session.Stat(deadline(t), sshd.Root)
	require.NoError(t, err)

	_, err = newPool(t, sftp.Config{}, secrets{Password: []byte("wrong-canary")}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth, "server acme refused the credentials of user \"partner\"", "refused password", "stevedore server test acme")
	assert.NotContains(t, err.Error(), "canary")
	sshd.AwaitLog(t, "Failed password for partner")
	assert.Equal(t, 1, strings.Count(sshd.Log(t), "Failed password for partner"), "the password is sent once, because servers lock accounts")
}

func TestKeyLogin(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.open(t)
	_, err := newPool(t, sftp.Config{}, secrets{Password: []byte("x")}).Open(deadline(t), b.server)
	requireKind(t, err, ingest.KindAuth, "it accepts publickey")
	_, err = newPool(t, sftp.Config{}, secrets{PrivateKey: []byte("canary")}).Open(deadline(t), b.server)
	requireKind(t, err, ingest.KindAuth, "private key cannot be read")
	assert.NotContains(t, err.Error(), "canary")
}

func TestRSAClientKey(t *testing.T) {
	t.Parallel()
	path := rsaKey(t)
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"AuthorizedKeysFile " + path + ".pub"}})
	private, err := os.ReadFile(path)
	require.NoError(t, err)
	open(t, newPool(t, sftp.Config{}, secrets{PrivateKey: private}), b.server)
}

func TestLockedPrivateKey(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("phrase"))
	require.NoError(t, err)
	_, err = newPool(t, sftp.Config{}, secrets{PrivateKey: pem.EncodeToMemory(locked)}).Open(deadline(t), b.server)
	requireKind(t, err, ingest.KindAuth, "enter its passphrase")
}

func TestNoSFTP(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"Subsystem other /bin/false"}})
	_, err := tryOpen(t, b.pool, b.server)
	requireKind(t, err, ingest.KindServer, "has no SFTP subsystem")
}

// TestServerLevelErrors checks that faults that affect all files are of KindServer, also
// damaged stored credentials.
func TestServerLevelErrors(t *testing.T) {
	t.Parallel()
	insecure := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"Ciphers aes128-cbc"}})
	_, err := insecure.pool.Open(deadline(t), insecure.server)
	requireKind(t, err, ingest.KindServer, "offers no secure")
	damaged := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	pool := sftp.NewPool(sftp.Config{AllowNetworks: loopback()}, damagedSecrets{})
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	_, err = pool.Open(deadline(t), damaged.server)
	requireKind(t, err, ingest.KindServer, "server acme: password is damaged")
}

// damagedSecrets returns a permanent error.
type damagedSecrets struct{}

func (damagedSecrets) Credentials(context.Context, ingest.Server) (ingest.Credentials, error) {
	return ingest.Credentials{}, ingest.Errorf(ingest.KindInvalid, "password is damaged: set it again")
}

func TestUnpinnedHostKey(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.server.HostKeys = nil
	_, err := tryOpen(t, b.pool, b.server)
	requireKind(t, err, ingest.KindHostKey, "not pinned", fingerprint(t, b.HostKeyLine), "stevedore server test acme --approve SHA256:")
	requireNoAuth(t, b.SSHD)
}

func TestChangedHostKey(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	old := b.HostKeyLine
	b.RotateHostKey(t)
	_, err := tryOpen(t, b.pool, b.server)
	requireKind(t, err, ingest.KindHostKey, "may be an attack", fingerprint(t, b.HostKeyLine))
	requireNoAuth(t, b.SSHD)

	// A pin of another type is also reported as a changed key, not as a failed
	// negotiation.
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	pin, err := ssh.NewPublicKey(other.Public())
	require.NoError(t, err)
	b.server.HostKeys = []string{string(ssh.MarshalAuthorizedKey(pin))}
	_, err = tryOpen(t, b.pool, b.server)
	requireKind(t, err, ingest.KindHostKey, "may be an attack", fingerprint(t, b.HostKeyLine))
	requireNoAuth(t, b.SSHD)

	// A second pin allows the partner to change keys without an interruption.
	b.server.HostKeys = []string{old, b.HostKeyLine}
	b.open(t)
}

func TestBrokenPin(t *testing.T) {
	t.Parallel()
	pool := newPool(t, sftp.Config{}, secrets{})
	_, err := pool.Open(deadline(t), ingest.Server{Name: "acme", Host: "127.0.0.1", Port: 1, HostKeys: []string{"nonsense"}})
	requireKind(t, err, ingest.KindHostKey, "pinned host key 1 is not a line")
}

func TestProbe(t *testing.T) {
	t.Parallel()
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{})
	b.Write(t, "a", nil)
	b.Write(t, "in/b", nil)
	want := sftp.ProbeResult{Fingerprint: fingerprint(t, b.HostKeyLine), KeyLine: b.HostKeyLine}

	unpinned := b.server
	unpinned.HostKeys = nil
	got, err := b.pool.Probe(deadline(t), unpinned)
	requireKind(t, err, ingest.KindHostKey)
	assert.Contains(t, got.Software, "SSH-2.0-OpenSSH")
	want.Software = got.Software
	assert.Equal(t, want, got)
	requireNoAuth(t, b.SSHD)

	got, err = b.pool.Probe(deadline(t), b.server)
	require.NoError(t, err)
	assert.Positive(t, got.Latency)
	got.Latency = 0
	assert.NotEmpty(t, got.KeyExchange)
	assert.NotEmpty(t, got.Cipher)
	assert.Equal(t, ssh.KeyAlgoED25519, got.HostKeyAlgorithm)
	assert.Contains(t, got.Extensions, "limits@openssh.com")
	require.NotNil(t, got.Limits)
	assert.EqualValues(t, 256<<10, got.Limits.MaxPacket)
	assert.Positive(t, got.Limits.MaxHandles)
	got.ProbeDetails = sftp.ProbeDetails{}
	want.Pinned, want.LoginOK, want.RootReadable, want.Entries = true, true, true, 2
	assert.Equal(t, want, got)

	b.server.Include = []string{"**/b"}
	got, err = b.pool.ProbeWith(deadline(t), b.server, true)
	require.NoError(t, err)
	assert.Positive(t, got.Sample.Unmatched.Count)
	got.Sample.Unmatched, got.Sample.Omitted = ingest.Unmatched{}, nil
	assert.Equal(t, &sftp.Sample{Included: 1, Paths: []string{b.Path("in/b")}, Complete: true}, got.Sample)

	b.server.RootPath = "/nowhere"
	got, err = b.pool.Probe(deadline(t), b.server)
	requireKind(t, err, ingest.KindNotFound, "/nowhere")
	assert.True(t, got.LoginOK)
	assert.False(t, got.RootReadable)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	sendText := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = c.Write([]byte(text)) }
	}
	for name, test := range map[string]struct {
		serve   func(net.Conn)
		message string
	}{
		"web server": {sendText("HTTP/1.1 400 Bad Request\r\n\r\nsorry\n"), `not an SSH server, it sent "HTTP/1.1 400 Bad Request"`},
		"too busy":   {sendText("Exceeded MaxStartups\r\n"), "Exceeded MaxStartups"},
		"closes":     {func(net.Conn) {}, "closed the connection immediately"},
		"black hole": {waitForEnd, "accepts connections but sent nothing"},
		"half-open":  {func(c net.Conn) { sendText("SSH-2.0-tarpit\r\n")(c); waitForEnd(c) }, "stopped replying"},
		"crashes":    {sendText("SSH-2.0-crash\r\n"), "the handshake with"},
		"escapes":    {sendText("\x1b[2Jhello\n"), `"\x1b[2Jhello"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, sftp.Config{HandshakeTimeout: 5 * time.Second}, secrets{})
			_, err := pool.Open(deadline(t), listen(t, test.serve))
			requireKind(t, err, ingest.KindTransient, "server acme", "127.0.0.1:", test.message)
		})
	}
	t.Run("dead", func(t *testing.T) {
		t.Parallel()
		server := ingest.Server{Name: "acme", Host: "127.0.0.1", Port: 1}
		_, err := newPool(t, sftp.Config{}, secrets{}).Open(deadline(t), server)
		requireKind(t, err, ingest.KindTransient, "cannot connect to 127.0.0.1:1", "refused")
	})
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		server := listen(t, func(c net.Conn) { cancel(); waitForEnd(c) })
		_, err := newPool(t, sftp.Config{}, secrets{}).Open(ctx, server)
		requireKind(t, err, ingest.KindTransient, "canceled")
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	pool := sftp.NewPool(sftp.Config{ConnectTimeout: time.Second, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, secrets{})
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	for host, network := range map[string]string{
		"127.0.0.1": "loopback", "localhost": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"10.2.0.1": "private", "192.168.1.1": "private", "fd00::1": "private",
		"169.254.169.254": "link-local", "fe80::1%lo": "link-local",
		"0.0.0.0": "", "::": "", "0.1.2.3": "unspecified", "100.64.0.1": "carrier-private",
		"224.0.0.1": "link-local", "239.1.1.1": "multicast", "64:ff9b::7f00:1": "translated",
	} {
		_, err := pool.Open(deadline(t), ingest.Server{Name: "acme", Host: host, Port: 1})
		requireKind(t, err, ingest.KindForbiddenAddress, "STEVEDORE_SFTP_ALLOW_NETWORKS", network)
	}
}

// listen starts a TCP server that calls serve for each connection and closes it.
func listen(t *testing.T, serve func(net.Conn)) ingest.Server {
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
				// Unread data would make Close reset the connection.
				_, _ = bufio.NewReader(conn).ReadString('\n')
				serve(conn)
			}()
		}
	}()
	return ingest.Server{
		UUID: uuid.NewString(), Name: "acme", Username: "u", RootPath: "/", MaxParallel: 1,
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port,
	}
}

// waitForEnd returns when the other side has closed the connection.
func waitForEnd(c net.Conn) {
	for buf := make([]byte, 1024); ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func fingerprint(t *testing.T, line string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	require.NoError(t, err)
	return ssh.FingerprintSHA256(key)
}

// requireNoAuth checks by the server's log that a client connected but did not start to
// authenticate.
func requireNoAuth(t *testing.T, sshd *services.SSHD) {
	t.Helper()
	sshd.AwaitLog(t, "Connection from 127.0.0.1")
	sshd.AwaitLog(t, "[preauth]")
	for _, line := range []string{"userauth-request", "publickey for", "password for", "user partner"} {
		require.NotContains(t, sshd.Log(t), line)
	}
}

// rsaKey creates an RSA key pair and returns the path of the private key.
func rsaKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rsa")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// blockedSecrets returns credentials after released is closed.
type blockedSecrets struct {
	secrets
	released chan struct{}
}

func (s blockedSecrets) Credentials(ctx context.Context, server ingest.Server) (ingest.Credentials, error) {
	<-s.released
	return s.secrets.Credentials(ctx, server)
}

// goroutinesIn counts the goroutines that are blocked in the method of package sftp.
func goroutinesIn(method string) (n int) {
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	for stack := range strings.SplitSeq(stacks.String(), "\n\n") {
		if _, frames, _ := strings.Cut(stack, "[select"); strings.Contains(strings.SplitAfterN(frames+"\n\n", "\n", 3)[1], "sftp."+method+"(") {
			n++
		}
	}
	return n
}

// TestRefusalAppliesToWaitingSessions checks that an invalid password is refused once for
// all waiting sessions, not once for each.
func TestRefusalAppliesToWaitingSessions(t *testing.T) {
	t.Parallel()
	sshd := services.StartSSHD(t, services.SSHDOptions{Password: "right"})
	server := sshd.Server("acme", uuid.NewString())
	server.MaxParallel = 8
	blocked := blockedSecrets{secrets{Password: []byte("wrong")}, make(chan struct{})}
	pool := sftp.NewPool(sftp.Config{AllowNetworks: loopback()}, blocked)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	var all errgroup.Group
	for range server.MaxParallel {
		all.Go(func() error {
			_, err := pool.Open(deadline(t), server)
			assert.Equal(t, ingest.KindAuth, ingest.KindOf(err))
			return nil
		})
	}
	// One session connects; the others must wait for it before it fails.
	require.Eventually(t, func() bool { return goroutinesIn("(*Pool).tryConnect") >= server.MaxParallel-1 }, time.Minute, 5*time.Millisecond)
	close(blocked.released)
	require.NoError(t, all.Wait())
	const refused = "Failed password for partner"
	sshd.AwaitLog(t, refused)
	assert.Equal(t, 1, strings.Count(sshd.Log(t), refused), "%s", sshd.Log(t))

	_, err := pool.Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth)
	sshd.AwaitLogged(t, 2, refused)
	assert.Equal(t, 2, strings.Count(sshd.Log(t), refused), "later sessions try again: %s", sshd.Log(t))
}
