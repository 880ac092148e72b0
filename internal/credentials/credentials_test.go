package credentials_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

const (
	uuidA = "0192aa00-0000-7000-8000-00000000000a"
	uuidB = "0192aa00-0000-7000-8000-00000000000b"
)

// The servers of the credentials.
var (
	serverA = serverAt(uuidA)
	serverB = serverAt(uuidB)
)

func serverAt(uuid string) ingest.Server {
	return ingest.Server{UUID: uuid, Host: "sftp.example.com", Port: 22, Username: "u", HostKeys: []string{"ssh-ed25519 AAAA node-1", "ssh-rsa BBBB"}}
}

// open generates a keyset in a folder of the test and opens it.
func open(t *testing.T) (*credentials.Sealer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, credentials.Generate(path))
	v, err := credentials.Open(path)
	require.NoError(t, err)
	return v, path
}

func TestValueDecryptsOnlyInItsOwnRowAndField(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	secret := []byte("correct horse")
	sealed, err := v.Seal(credentials.FieldPassword, serverA, secret)
	require.NoError(t, err)
	require.NotContains(t, string(sealed), string(secret))

	got, err := v.Open(credentials.FieldPassword, serverA, sealed)
	require.NoError(t, err)
	require.Equal(t, secret, got)

	damaged := append([]byte(nil), sealed...)
	damaged[len(damaged)-1] ^= 1
	for name, try := range map[string]struct {
		field  string
		server ingest.Server
		sealed []byte
	}{
		"another row":   {credentials.FieldPassword, serverB, sealed},
		"another field": {credentials.FieldPrivateKey, serverA, sealed},
		"flipped bit":   {credentials.FieldPassword, serverA, damaged},
		"cut off":       {credentials.FieldPassword, serverA, sealed[:3]},
	} {
		_, err := v.Open(try.field, try.server, try.sealed)
		require.Error(t, err, name)
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), name)
		require.ErrorContains(t, err, try.server.UUID, name)
	}
}

func TestSealingTwiceLooksDifferent(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	one, err := v.Seal(credentials.FieldPassword, serverA, []byte("same"))
	require.NoError(t, err)
	two, err := v.Seal(credentials.FieldPassword, serverA, []byte("same"))
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestWrongKeysetIsNamed(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	other, path := open(t)
	sealed, err := v.Seal(credentials.FieldPassword, serverA, []byte("x"))
	require.NoError(t, err)
	_, err = other.Open(credentials.FieldPassword, serverA, sealed)
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err))
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "restore the keyset file")
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	v, _ := open(t)
	password, err := v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
	key, err := v.Seal(credentials.FieldPrivateKey, serverA, []byte("PEM"))
	require.NoError(t, err)

	creds, err := v.Credentials(context.Background(), with(serverA, password, key))
	require.NoError(t, err)
	require.Equal(t, "pw", string(creds.Password))
	require.Equal(t, "PEM", string(creds.PrivateKey))
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", creds, creds, creds), "pw")

	creds, err = v.Credentials(context.Background(), with(serverA, password, nil))
	require.NoError(t, err)
	require.Empty(t, creds.PrivateKey)

	_, err = v.Credentials(context.Background(), with(serverB, password, nil))
	require.ErrorContains(t, err, "belongs to another server or field")
	_, err = v.Credentials(context.Background(), with(serverA, key, nil))
	require.ErrorContains(t, err, "belongs to another server or field")
}

func TestGenerateNeverOverwrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyset.json")
	var wins, losses int
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			err := credentials.Generate(path)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins++
				return
			}
			losses++
			require.ErrorIs(t, err, fs.ErrExist)
			require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
		})
	}
	group.Wait()
	require.Equal(t, 1, wins)
	require.Equal(t, 7, losses)

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Error(t, credentials.Generate(path))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "temporary files are removed")
}

func TestOpenErrorsContainTheRemedy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, err := credentials.Open(filepath.Join(folder, "none.json"))
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err))
	require.ErrorContains(t, err, "run `stevedore setup`")

	_, path := open(t)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o666} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = credentials.Open(path)
		require.ErrorContains(t, err, "chmod 600", mode)
	}

	damaged := filepath.Join(folder, "damaged.json")
	require.NoError(t, os.WriteFile(damaged, []byte(`{"primaryKeyId": 1, "key": [{"keyData": "hush"}]}`), 0o600))
	_, err = credentials.Open(damaged)
	require.ErrorContains(t, err, "is damaged")
	require.NotContains(t, err.Error(), "hush")

	_, err = credentials.Open(folder)
	require.ErrorContains(t, err, "not a regular file")
}

func TestRotateKeepsOldValuesReadable(t *testing.T) {
	t.Parallel()
	old, path := open(t)
	sealed, err := old.Seal(credentials.FieldPassword, serverA, []byte("before"))
	require.NoError(t, err)
	require.NoError(t, credentials.Rotate(path))

	rotated, err := credentials.Open(path)
	require.NoError(t, err)
	got, err := rotated.Open(credentials.FieldPassword, serverA, sealed)
	require.NoError(t, err)
	require.Equal(t, "before", string(got))

	fresh, err := rotated.Seal(credentials.FieldPassword, serverA, []byte("after"))
	require.NoError(t, err)
	require.True(t, rotated.Current(fresh))
	require.False(t, rotated.Current(sealed))
	require.ErrorContains(t, credentials.Rotate(filepath.Join(t.TempDir(), "none")), "does not exist")

	// A running process loads the new key when it first needs it.
	got, err = old.Open(credentials.FieldPassword, serverA, fresh)
	require.NoError(t, err)
	require.Equal(t, "after", string(got))
	again, err := old.Seal(credentials.FieldPassword, serverA, []byte("again"))
	require.NoError(t, err)
	require.True(t, rotated.Current(again))
}

// The loaded keys remain usable when the file is damaged.
func TestDamagedFileKeepsLoadedKeys(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	sealed, err := v.Seal(credentials.FieldPassword, serverA, []byte("x"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	_, err = v.Open(credentials.FieldPassword, serverA, sealed)
	require.NoError(t, err)
	require.True(t, v.Current(sealed))
}

func TestRotationsLoseNoKey(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var sealed [][]byte
	for range 8 {
		group.Go(func() {
			require.NoError(t, credentials.Rotate(path))
			own, err := credentials.Open(path)
			require.NoError(t, err)
			value, err := own.Seal(credentials.FieldPassword, serverA, []byte("x"))
			require.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			sealed = append(sealed, value)
		})
	}
	group.Wait()
	for _, value := range sealed {
		_, err := v.Open(credentials.FieldPassword, serverA, value)
		require.NoError(t, err)
	}
}

func with(server ingest.Server, password, key []byte) ingest.Server {
	server.PasswordEncrypted, server.PrivateKeyEncrypted = password, key
	return server
}
