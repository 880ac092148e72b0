package credentials_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

// Changing a server's row must not send its password to another receiver.
func TestCredentialsAreBoundToTheirReceiver(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	sealed, err := v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
	for name, change := range map[string]func(*ingest.Server){
		"host":         func(s *ingest.Server) { s.Host = "evil.example.com" },
		"port":         func(s *ingest.Server) { s.Port = 2222 },
		"username":     func(s *ingest.Server) { s.Username = "other" },
		"another key":  func(s *ingest.Server) { s.HostKeys = []string{"ssh-ed25519 EVIL"} },
		"one key more": func(s *ingest.Server) { s.HostKeys = append([]string{"ssh-ed25519 EVIL"}, s.HostKeys...) },
		"no key":       func(s *ingest.Server) { s.HostKeys = nil },
		"proxy":        func(s *ingest.Server) { s.Proxy = "socks5://evil:1080" },
		"jump host":    func(s *ingest.Server) { s.Jump = "evil" },
	} {
		changed := with(serverA, sealed, nil)
		change(&changed)
		_, err := v.Credentials(t.Context(), changed)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), name)
		require.ErrorContains(t, err, "was not sent", name)
		require.ErrorContains(t, err, changed.Host, "the message names the receiver")
		_, err = v.Reseal(changed, serverA)
		require.Error(t, err, name)
	}
	same := with(serverA, sealed, nil)
	same.Name, same.HostKeys = "renamed", []string{"ssh-rsa BBBB with a comment", "ssh-ed25519 AAAA"}
	creds, err := v.Credentials(t.Context(), same)
	require.NoError(t, err, "order and comments of pins do not count")
	require.Equal(t, "pw", string(creds.Password))
}

func TestReseal(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	password, err := v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
	key, err := v.Seal(credentials.FieldPrivateKey, serverA, []byte("PEM"))
	require.NoError(t, err)
	from := with(serverA, password, key)
	to := from
	to.HostKeys = []string{"ssh-rsa BBBB"}
	to, err = v.Reseal(from, to)
	require.NoError(t, err)
	creds, err := v.Credentials(t.Context(), to)
	require.NoError(t, err)
	require.Equal(t, "pw PEM", string(creds.Password)+" "+string(creds.PrivateKey))
}

func TestMovedListsNewReceivers(t *testing.T) {
	t.Parallel()
	is := credentials.WhereOf(serverA)
	require.Empty(t, is.Moved(is))
	fewer := serverA
	fewer.HostKeys = fewer.HostKeys[:1]
	require.Empty(t, is.Moved(credentials.WhereOf(fewer)), "one receiver fewer")
	other := ingest.Server{Host: "h", Port: 1, Username: "x", HostKeys: []string{"ssh-rsa C"}}
	other.Proxy, other.Jump = "socks5://p:1", "j"
	require.Equal(t, []string{"host", "port", "username", "host_keys", "proxy", "jump"}, is.Moved(credentials.WhereOf(other)))
}

// canaries is a ledger with one canary.
type canaries struct{ kept []byte }

func (c *canaries) KeysetCanary(context.Context) ([]byte, error) { return c.kept, nil }

func (c *canaries) KeepKeysetCanary(_ context.Context, earlier, sealed []byte) ([]byte, error) {
	if c.kept == nil || bytes.Equal(earlier, c.kept) {
		c.kept = sealed
	}
	return c.kept, nil
}

func TestForeignKeysetIsRejected(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	foreign, foreignPath := open(t)
	ledger := &canaries{}
	require.NoError(t, v.Check(t.Context(), ledger))
	require.NoError(t, v.Check(t.Context(), ledger))
	err := foreign.Check(t.Context(), ledger)
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	require.ErrorContains(t, err, "does not belong to this database")

	// The file is replaced while a process runs.
	sealed, err := v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
	mine := replace(t, path, foreignPath)
	_, err = v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), "no value is encrypted with foreign keys")
	require.ErrorContains(t, err, "restore the right file")
	require.Error(t, v.Check(t.Context(), ledger))
	_, err = v.Open(credentials.FieldPassword, serverA, sealed)
	require.NoError(t, err, "the loaded keys remain usable")
	theirs, err := foreign.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
	_, err = v.Open(credentials.FieldPassword, serverB, theirs)
	require.Error(t, err)

	require.NoError(t, os.WriteFile(path, mine, 0o600))
	require.NoError(t, v.Check(t.Context(), ledger))
	_, err = v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
}

// replace writes the content of one file into another and returns the previous
// content.
func replace(t *testing.T, path, by string) []byte {
	t.Helper()
	was, err := os.ReadFile(path)
	require.NoError(t, err)
	content, err := os.ReadFile(by)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return was
}

func TestCanaryFollowsRotation(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	ledger := &canaries{}
	require.NoError(t, v.Check(t.Context(), ledger))
	first := ledger.kept
	require.NoError(t, credentials.Rotate(path))
	require.NoError(t, v.Check(t.Context(), ledger))
	require.Equal(t, first, ledger.kept)
	require.NoError(t, v.RenewCanary(t.Context(), ledger))
	require.True(t, v.Current(ledger.kept))
	require.NotEqual(t, first, ledger.kept)
}
