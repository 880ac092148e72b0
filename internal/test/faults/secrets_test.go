package faults_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/worker"
)

// TestFault68_CiphertextsSwapped: an attacker with write access to the database swaps the
// ciphertexts of two servers. No password is sent to the other host.
func TestFault68_CiphertextsSwapped(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	var sshds []*services.SSHD
	var servers []ingest.Server
	for _, name := range []string{"acme", "globex"} {
		sshd := services.StartSSHD(t, services.SSHDOptions{Password: "only-" + name})
		servers = append(servers, h.Adopt(t, sshd, name, nil))
		sshd.Write(t, name+".csv", sandbox.Random(100))
		sshds = append(sshds, sshd)
	}
	swap := func() {
		first, err := h.Store.Server(h.Context(t), servers[0].UUID)
		require.NoError(t, err)
		second, err := h.Store.Server(h.Context(t), servers[1].UUID)
		require.NoError(t, err)
		setPassword(t, h, first.UUID, second.PasswordEncrypted)
		setPassword(t, h, second.UUID, first.PasswordEncrypted)
	}
	swap()
	h.ScanAndWait(t)
	for i, server := range servers {
		now, err := h.Store.Server(h.Context(t), server.UUID)
		require.NoError(t, err)
		assert.Equal(t, ingest.ServerSuspended, now.State)
		assert.Contains(t, now.LastError, "belongs to another server")
		assert.NotContains(t, sshds[i].Log(t), "assword for", "no credentials are sent")
	}

	swap()
	h.ScanAndWait(t)
	for i, name := range []string{"acme", "globex"} {
		h.AwaitIngest(t, h.Completed(t, sshds[i].Path(name+".csv")).UUID)
	}
	h.RequireExactlyOnce(t)
}

// TestFault68_RowPointedElsewhere: an attacker with write access to the database changes
// a row to the address and host key of their own server. No password is sent to it.
func TestFault68_RowPointedElsewhere(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := services.StartSSHD(t, services.SSHDOptions{Password: "only-acme"})
	attacker := services.StartSSHD(t, services.SSHDOptions{Password: "whatever"})
	acme.Write(t, "a.csv", sandbox.Random(100))
	server := h.Adopt(t, acme, "acme", nil)
	point := func(at *services.SSHD) {
		_, err := h.Store.EditServer(h.Context(t), server.UUID, func(s ingest.Server) (ingest.Server, error) {
			s.Port, s.HostKeys, s.State, s.LastError = at.Port, []string{at.HostKeyLine}, ingest.ServerOK, ""
			return s, nil
		})
		require.NoError(t, err)
	}
	point(attacker)
	h.ScanAndWait(t)
	now, err := h.Store.Server(h.Context(t), server.UUID)
	require.NoError(t, err)
	assert.Equal(t, ingest.ServerSuspended, now.State)
	for _, text := range []string{"was not sent", fmt.Sprintf("port %d", attacker.Port), "stevedore server edit"} {
		assert.Contains(t, now.LastError, text)
	}
	assert.NotContains(t, attacker.Log(t), "assword for", "no credentials are sent")

	point(acme)
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

// setPassword stores a sealed password and ends the server's suspension.
func setPassword(t *testing.T, h *sandbox.Cluster, serverUUID string, sealed []byte) {
	t.Helper()
	_, err := h.Store.EditServer(h.Context(t), serverUUID, func(s ingest.Server) (ingest.Server, error) {
		s.PasswordEncrypted, s.State, s.LastError = sealed, ingest.ServerOK, ""
		return s, nil
	})
	require.NoError(t, err)
}

// TestFault69_KeyRemovedTooEarly: a worker does not start with a keyset that lacks a key
// in use. The error contains the key and the remedy.
func TestFault69_KeyRemovedTooEarly(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	keyset := h.Cfg.Credentials.KeysetFile
	acme := services.StartSSHD(t, services.SSHDOptions{Password: "right"})
	h.Adopt(t, acme, "acme", nil)
	acme.Write(t, "a.csv", sandbox.Random(100))
	require.NoError(t, credentials.Rotate(keyset))
	whole, err := os.ReadFile(keyset)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(keyset, withoutFirstKey(t, whole), 0o600))

	err = worker.RunWith(h.Context(t), h.Cfg, h.Temporal, services.Logger(t), worker.Options{TaskQueue: h.Queue})
	require.Error(t, err)
	assert.Equal(t, ingest.KindInvalid, ingest.KindOf(err))
	for _, text := range []string{"server acme", keyset, "restore the key", "stevedore key rotate"} {
		require.ErrorContains(t, err, text)
	}

	require.NoError(t, os.WriteFile(keyset, whole, 0o600))
	h.StartWorker(t)
	h.ScanAndWait(t)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.csv")).UUID)
	h.RequireExactlyOnce(t)
}

// withoutFirstKey returns a keyset file without its oldest key.
func withoutFirstKey(t *testing.T, text []byte) []byte {
	t.Helper()
	var set map[string]any
	require.NoError(t, json.Unmarshal(text, &set))
	keys, _ := set["key"].([]any)
	require.Len(t, keys, 2)
	set["key"] = keys[1:]
	left, err := json.Marshal(set)
	require.NoError(t, err)
	return left
}
