package operations

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// cutOff is a ledger that fails after a number of edits.
type cutOff struct {
	*store.Store
	edits int
}

var errCutOff = errors.New("the process was killed")

func (c *cutOff) EditServer(ctx context.Context, uuid string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error) {
	if c.edits--; c.edits < 0 {
		return ingest.Server{}, errCutOff
	}
	return c.Store.EditServer(ctx, uuid, edit)
}

// rotating is a Service on a real ledger and a real keyset file.
type rotating struct {
	*Service
	ledger *cutOff
	keys   *credentials.Sealer
	path   string
}

func setupRotating(t *testing.T) *rotating {
	t.Helper()
	ledger, err := store.New(t.Context(), store.Config{DatabaseURL: services.Database(t), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(ledger.Close)
	r := &rotating{ledger: &cutOff{Store: ledger, edits: 1000}, path: filepath.Join(t.TempDir(), "keyset.json")}
	require.NoError(t, credentials.Generate(r.path))
	r.keys, err = credentials.Open(r.path)
	require.NoError(t, err)
	r.Service = New(Deps{
		Ledger: r.ledger, Keyring: Provide[Keyring](r.keys), NewUUID: uuid.NewString,
	})
	for _, name := range []string{"a", "b", "c"} {
		_, err := r.AddServer(t.Context(), NewServer{
			Server:      ingest.Server{Name: name, Host: "sftp.example.com", Username: "u", Options: ingest.Options{AllowOverlap: true}},
			Credentials: ingest.Credentials{Password: []byte("password of " + name)},
		})
		require.NoError(t, err)
	}
	return r
}

func (r *rotating) keyCount(t *testing.T) int {
	t.Helper()
	content, err := os.ReadFile(r.path)
	require.NoError(t, err)
	return strings.Count(string(content), `"keyId"`)
}

// requireAll checks that every password opens, and the number sealed with the newest key.
func (r *rotating) requireAll(t *testing.T, current int) {
	t.Helper()
	fresh, err := credentials.Open(r.path)
	require.NoError(t, err)
	servers, err := r.ListServers(t.Context())
	require.NoError(t, err)
	for _, server := range servers {
		creds, err := fresh.Credentials(t.Context(), server)
		require.NoError(t, err)
		require.Equal(t, "password of "+server.Name, string(creds.Password))
		if fresh.Current(server.PasswordEncrypted) {
			current--
		}
	}
	require.Zero(t, current)
}

func TestRotationMayBeCutOffAnywhere(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	for done := range 3 {
		r.ledger.edits = done
		_, err := r.RotateKey(ctx, RotateRequest{})
		require.ErrorIs(t, err, errCutOff)
		require.Equal(t, 2+done, r.keyCount(t))
		r.requireAll(t, done)

		r.ledger.edits = 1000
		var progress []int
		result, err := r.RotateKey(ctx, RotateRequest{Progress: func(done, _ int) { progress = append(progress, done) }})
		require.NoError(t, err)
		require.Equal(t, RotateResult{NewKey: false, Servers: 3, Resealed: 3 - done}, result, "the earlier rotation is brought to its end")
		require.Len(t, progress, 3-done)
		require.Equal(t, 2+done, r.keyCount(t))
		r.requireAll(t, 3)
	}
	result, err := r.RotateKey(ctx, RotateRequest{})
	require.NoError(t, err)
	require.Equal(t, RotateResult{NewKey: true, Servers: 3, Resealed: 3}, result)
	r.requireAll(t, 3)
}

func TestKeyOnlyLeavesCredentialsForLater(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	result, err := r.RotateKey(ctx, RotateRequest{KeyOnly: true})
	require.NoError(t, err)
	require.Equal(t, RotateResult{NewKey: true, Servers: 3}, result)
	r.requireAll(t, 0)
	result, err = r.RotateKey(ctx, RotateRequest{})
	require.NoError(t, err)
	require.Equal(t, RotateResult{NewKey: false, Servers: 3, Resealed: 3}, result)
	r.requireAll(t, 3)
}

func TestOneDamagedCredentialStopsNoOther(t *testing.T) {
	t.Parallel()
	r, ctx := setupRotating(t), t.Context()
	server, err := r.GetServer(ctx, "b")
	require.NoError(t, err)
	_, err = r.ledger.EditServer(ctx, server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.PasswordEncrypted = []byte("garbage")
		return s, nil
	})
	require.NoError(t, err)
	result, err := r.RotateKey(ctx, RotateRequest{})
	require.ErrorContains(t, err, "stevedore server edit b --password-file")
	require.Equal(t, []string{"b"}, result.Failed)
	require.Equal(t, 2, result.Resealed)
	entries, err := r.ledger.AuditLog(ctx, ingest.AuditFilter{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "key.rotate", entries[0].Action)
}
