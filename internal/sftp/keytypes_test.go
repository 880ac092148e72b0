package sftp_test

import (
	"crypto/rsa"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// keygen creates a key pair by ssh-keygen and returns the path of the private key.
func keygen(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-f", path}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

// TestKeyTypes checks host keys and user keys of each type that OpenSSH supports.
func TestKeyTypes(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"ed25519":   {"-t", "ed25519"},
		"ecdsa 256": {"-t", "ecdsa", "-b", "256"}, "ecdsa 384": {"-t", "ecdsa", "-b", "384"}, "ecdsa 521": {"-t", "ecdsa", "-b", "521"},
		"rsa 2048": {"-t", "rsa", "-b", "2048"}, "rsa 4096": {"-t", "rsa", "-b", "4096"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, user := keygen(t, args...), keygen(t, args...)
			b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"HostKey " + host, "AuthorizedKeysFile " + user + ".pub"}})
			b.server.HostKeys = []string{strings.TrimSpace(string(read(t, host+".pub")))}
			session, err := tryOpen(t, newPool(t, sftp.Config{}, secrets{PrivateKey: read(t, user)}), b.server)
			require.NoError(t, err)
			_, err = session.Stat(deadline(t), b.Root)
			require.NoError(t, err)
		})
	}
}

// TestHostCertificate checks that a pinned plain key matches on a server that also has a
// host certificate.
func TestHostCertificate(t *testing.T) {
	t.Parallel()
	authority, host := keygen(t, "-t", "ed25519"), keygen(t, "-t", "ed25519")
	out, err := exec.Command("ssh-keygen", "-q", "-s", authority, "-I", "host", "-h", "-n", "127.0.0.1", host+".pub").CombinedOutput()
	require.NoError(t, err, "%s", out)
	b := newSSHDFixture(t, sftp.Config{}, services.SSHDOptions{Config: []string{"HostKey " + host, "HostCertificate " + host + "-cert.pub"}})
	b.server.HostKeys = []string{b.HostKeyLine, strings.TrimSpace(string(read(t, host+".pub")))}
	b.open(t)
	b.server.HostKeys = []string{"@cert-authority * " + string(read(t, authority+".pub"))}
	_, err = tryOpen(t, b.pool, b.server)
	requireKind(t, err, ingest.KindHostKey, "pinned host key 1")
}

// TestSmallRSAKeys checks a key of 1024 bits, the minimum of OpenSSH.
func TestSmallRSAKeys(t *testing.T) {
	t.Parallel()
	path := keygen(t, "-t", "rsa", "-b", "1024")
	key, err := ssh.ParseRawPrivateKey(read(t, path))
	require.NoError(t, err)
	public, err := ssh.NewPublicKey(&key.(*rsa.PrivateKey).PublicKey)
	require.NoError(t, err)
	open(t, newPool(t, sftp.Config{}, secrets{PrivateKey: read(t, path)}), keyServer(t, public, ssh.KeyAlgoRSASHA512))
}

// TestKeyAndPassword checks a server that requires a key and then a password.
func TestKeyAndPassword(t *testing.T) {
	t.Parallel()
	counted := &fakeBudget{}
	server := fakeSSH(t, &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{PasswordCallback: passwordIs("pw")}}
	}}, hostile{}.serve)
	creds := secrets{PrivateKey: pemKey(t), Password: []byte("pw")}
	open(t, newPool(t, sftp.Config{Passwords: counted}, creds), server)
	assert.Equal(t, map[ingest.LoginResult]int{ingest.LoginAccepted: 1}, counted.results())
	creds.Password = []byte("wrong")
	_, err := newPool(t, sftp.Config{Passwords: counted}, creds).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth)
	assert.Equal(t, 1, counted.results()[ingest.LoginRefused])
	creds.Password = nil
	_, err = newPool(t, sftp.Config{Passwords: counted}, creds).Open(deadline(t), server)
	requireKind(t, err, ingest.KindAuth, "accepted publickey", "add the missing password or key")
	assert.Empty(t, counted.keyResults, "the key was accepted")
}

// TestRefusedKeysAreCounted checks that a login that ends with the refusal of the key
// counts once and offers it in few forms. No connection is made while the budget blocks
// the key.
func TestRefusedKeysAreCounted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	offered := 0
	server := fakeSSH(t, &ssh.ServerConfig{PublicKeyAuthAlgorithms: []string{ssh.KeyAlgoRSASHA256}, MaxAuthTries: -1, PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		mu.Lock()
		defer mu.Unlock()
		offered++
		return nil, errors.New("unknown")
	}}, hostile{}.serve)
	server.LegacyAlgorithms = true
	counted := &fakeBudget{}
	creds := secrets{PrivateKey: read(t, keygen(t, "-t", "rsa", "-b", "2048"))}
	pool := newPool(t, sftp.Config{Passwords: counted}, creds)
	for range 2 {
		_, err := pool.Open(deadline(t), server)
		requireKind(t, err, ingest.KindAuth)
	}
	assert.Equal(t, []ingest.LoginResult{ingest.LoginRefused, ingest.LoginRefused}, counted.keyResults)
	assert.LessOrEqual(t, offered, 2*4)
	offered = 0
	counted.keyErr = ingest.Errorf(ingest.KindTransient, "the key is blocked")
	_, err := pool.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "the key is blocked")
	assert.Zero(t, offered)
	counted.keyErr = nil

	// A connection that ends after the key was offered may hide a refusal.
	counted.keyResults = nil
	silent := serveRaw(t, sequence((*rawSSH).handshake, awaitMethod("publickey")))
	_, err = newPool(t, sftp.Config{Passwords: counted}, secrets{PrivateKey: pemKey(t)}).Open(deadline(t), silent)
	requireKind(t, err, ingest.KindTransient, "after the key was offered")
	assert.Equal(t, []ingest.LoginResult{ingest.LoginUnanswered}, counted.keyResults)
}
