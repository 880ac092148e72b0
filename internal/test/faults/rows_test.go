package faults_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// rowFault is a change of a server's row by SQL.
type rowFault struct {
	set    string
	args   func(t *testing.T, w *rowServers) []any
	reason string
	// transient: the key may come back with its file, so the server is retried.
	transient bool
}

// rowServers has a partner's server and a server of an attacker.
type rowServers struct {
	*sandbox.Cluster
	attacker *services.SSHD
	server   ingest.Server
}

const bound = "was not sent"

func none(*testing.T, *rowServers) []any { return nil }

// rowFaults change every column that determines where a credential is sent, and replace
// the ciphertext in every way.
var rowFaults = map[string]rowFault{
	"host":     {"host = 'localhost'", none, bound, false},
	"port":     {"port = $2", func(_ *testing.T, w *rowServers) []any { return []any{w.attacker.Port} }, bound, false},
	"username": {"username = 'root'", none, bound, false},
	"all host keys": {"port = $2, host_keys = ARRAY[$3]", func(_ *testing.T, w *rowServers) []any {
		return []any{w.attacker.Port, w.attacker.HostKeyLine}
	}, bound, false},
	"an additional host key": {"port = $2, host_keys = host_keys || $3::text", func(_ *testing.T, w *rowServers) []any {
		return []any{w.attacker.Port, w.attacker.HostKeyLine}
	}, bound, false},
	"proxy":                   {`options = options || '{"proxy": "socks5://127.0.0.1:1"}'`, none, bound, false},
	"jump":                    {`options = options || '{"jump": "other"}'`, none, bound, false},
	"server_uuid":             {"server_uuid = gen_random_uuid()", none, "belongs to another server", false},
	"copied from another row": {"password_encrypted = (SELECT password_encrypted FROM sftp_servers WHERE name = 'other')", none, "belongs to another server", false},
	"of another database":     {"password_encrypted = $2", sealedElsewhere, "restore the keyset file", true},
	"of another field":        {"password_encrypted = $2", sealedAsKey, "belongs to another server", false},
	"truncated":               {"password_encrypted = substring(password_encrypted FOR 20)", none, "", false},
	"in plain text":           {"password_encrypted = 'only-acme'", none, "", false},
	"emptied":                 {"password_encrypted = ''", none, "", false},
}

func sealedElsewhere(t *testing.T, w *rowServers) []any {
	keys := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, credentials.Generate(keys))
	foreign, err := credentials.Open(keys)
	require.NoError(t, err)
	sealed, err := foreign.Seal(credentials.FieldPassword, w.server, []byte("only-acme"))
	require.NoError(t, err)
	return []any{sealed}
}

func sealedAsKey(t *testing.T, w *rowServers) []any {
	return []any{w.Seal(t, w.server, credentials.FieldPrivateKey, []byte("only-acme"))}
}

// TestFault68_RowChangedBySQL: an attacker with write access to the database cannot have
// a password sent to another server by changing any column. The server shows the reason
// of the refusal.
func TestFault68_RowChangedBySQL(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	h.Scan(t) // it runs: with a value of another keyset in the ledger none would start
	attacker := services.StartSSHD(t, services.SSHDOptions{Password: "whatever"})
	h.Register(t, attacker, "other", func(s *ingest.Server) { s.Active = false })
	partner := services.StartSSHD(t, services.SSHDOptions{Password: "only-acme"})
	conn, err := pgx.Connect(h.Context(t), h.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(h.Context(t))) }()
	ids := map[string]string{}
	for fault, f := range rowFaults {
		name := strings.ReplaceAll(fault, " ", "-")
		w := &rowServers{Cluster: h, attacker: attacker, server: h.Register(t, partner, name, nil)}
		statement := "UPDATE sftp_servers SET " + f.set + " WHERE name = $1 RETURNING server_uuid::text"
		var id string
		require.NoError(t, conn.QueryRow(h.Context(t), statement, append([]any{name}, f.args(t, w)...)...).Scan(&id), fault)
		ids[fault] = id
	}
	h.Scan(t)
	for fault, f := range rowFaults {
		var now ingest.Server
		sandbox.Eventually(t, func() bool {
			now, err = h.Store.Server(h.Context(t), ids[fault])
			return err == nil && now.LastError != ""
		}, sandbox.Timeout, tick, fault)
		assert.Contains(t, now.LastError, f.reason, fault)
		assert.Equal(t, !f.transient, now.State == ingest.ServerSuspended, "%s: %s", fault, now.LastError)
	}
	for _, sshd := range []*services.SSHD{partner, attacker} {
		assert.NotContains(t, sshd.Log(t), "assword for", "a password was sent")
	}
}
