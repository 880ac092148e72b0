package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// addAccount adds a server with a password.
func (b *testBundle) addAccount(t *testing.T, name, host, user string) ingest.Server {
	t.Helper()
	server, err := b.AddServer(t.Context(), ingest.Server{Name: name, Host: host, Username: user, PasswordEncrypted: []byte(name), Active: true})
	require.NoError(t, err)
	return server
}

// send reserves a password and records the outcome. It returns the error of the reservation.
func (b *testBundle) send(t *testing.T, server ingest.Server, outcome ingest.LoginResult) error {
	t.Helper()
	id, err := b.ReservePassword(t.Context(), server)
	if err == nil {
		require.NoError(t, b.RecordPasswordResult(t.Context(), server, id, outcome))
	}
	return err
}

// Servers with the same account send two wrong passwords together, also concurrently.
func TestServersOfOneAccountShareTheBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servers := []ingest.Server{
		b.addAccount(t, "in", "sftp.example.com", "u"), b.addAccount(t, "out", "SFTP.example.com.", "u"), b.addAccount(t, "old", "sftp.example.com", "u"),
	}
	var sent atomic.Int64
	var all errgroup.Group
	for i := range 9 {
		server := servers[i%3]
		all.Go(func() error {
			id, err := b.ReservePassword(t.Context(), server)
			if err != nil {
				assert.Equal(t, ingest.KindAuth, ingest.KindOf(err), "%v", err)
				return nil
			}
			sent.Add(1)
			return b.RecordPasswordResult(t.Context(), server, id, ingest.LoginRefused)
		})
	}
	require.NoError(t, all.Wait())
	require.EqualValues(t, 2, sent.Load())
	for _, other := range []ingest.Server{b.addAccount(t, "user", "sftp.example.com", "v"), b.addAccount(t, "host", "sftp2.example.com", "u")} {
		require.NoError(t, b.send(t, other, ingest.LoginRefused), "another account")
	}
	require.NoError(t, b.send(t, b.addAccount(t, "new", "sftp.example.com", "u"), ingest.LoginRefused), "a password entered after the refusals")
}

// When a partner changes the password of an account that several servers use, only the
// first server sends the old password.
func TestChangedPasswordOfAnAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, out := b.addAccount(t, "in", "h", "u"), b.addAccount(t, "out", "h", "u")
	for _, server := range []ingest.Server{in, out} {
		require.NoError(t, b.send(t, server, ingest.LoginAccepted))
	}
	require.NoError(t, b.send(t, in, ingest.LoginRefused))
	require.NoError(t, b.send(t, in, ingest.LoginRefused))
	requireKind(t, ingest.KindAuth, b.send(t, out, ingest.LoginRefused), "also for server in")
	requireKind(t, ingest.KindAuth, b.CheckPassword(t.Context(), out), "server edit out --password-file")

	_, err := b.EditServer(t.Context(), in.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.PasswordEncrypted = []byte("new")
		return s, nil
	})
	require.NoError(t, err)
	require.NoError(t, b.send(t, out, ingest.LoginAccepted), "the refusals were forgotten with the old password")
}

// A server with a wrong password does not stop another one whose password works.
func TestWrongPasswordStopsOneServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	right, wrong := b.addAccount(t, "right", "h", "u"), b.addAccount(t, "wrong", "h", "u")
	require.NoError(t, b.send(t, right, ingest.LoginAccepted))
	require.NoError(t, b.send(t, wrong, ingest.LoginRefused))
	require.NoError(t, b.send(t, wrong, ingest.LoginRefused))
	requireKind(t, ingest.KindAuth, b.send(t, wrong, ingest.LoginRefused), "2 times")
	require.NoError(t, b.CheckPassword(t.Context(), right))
	require.NoError(t, b.send(t, right, ingest.LoginAccepted))
}

// Processes that are killed while they send a password of one server stop the other servers
// of the account for ten minutes at most, even if that server is never used again.
func TestKilledLoginsOfAnAccountEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	killed, other := b.addAccount(t, "killed", "h", "u"), b.addAccount(t, "other", "h", "u")
	for range ingest.MaxRefusedPasswords {
		_, err := b.ReservePassword(t.Context(), killed)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := b.ReservePassword(ctx, other)
	require.Error(t, err, "both passwords are being sent")
	b.exec(t, "UPDATE server_login_attempts SET began = now() - interval '11 minutes'")
	require.NoError(t, b.send(t, other, ingest.LoginAccepted))
}

// Logins that wait for others of their account do not occupy the connections of the process:
// a scan pass may log in to many servers of an account together.
func TestWaitingLoginsLeaveConnectionsFree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servers := make([]ingest.Server, 12)
	for i := range servers {
		servers[i] = b.addAccount(t, fmt.Sprintf("s%02d", i), "h", "u")
	}
	elsewhere, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = elsewhere.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = elsewhere.Exec(t.Context(), "SELECT pg_advisory_xact_lock(hashtextextended(encode($1::bytea, 'hex'), 0))", store.Account(servers[0]))
	require.NoError(t, err, "another process reserves a password")

	var all errgroup.Group
	for _, server := range servers {
		all.Go(func() error {
			id, err := b.ReservePassword(t.Context(), server)
			if err != nil {
				return err
			}
			return b.RecordPasswordResult(t.Context(), server, id, ingest.LoginAccepted)
		})
	}
	require.Eventually(t, func() bool {
		var waiting int
		assert.NoError(t, b.db.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&waiting))
		return waiting > 0
	}, time.Minute, 5*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 50 {
		_, err := b.ServerByName(ctx, servers[0].Name)
		require.NoError(t, err)
	}
	require.NoError(t, elsewhere.Rollback(t.Context()))
	require.NoError(t, all.Wait(), "each has its turn")
}

// A login reads as little for a server of an account with many servers as for one alone,
// whether their passwords were accepted or are not known to the database's statistics.
func TestLoginsOfLargeAccountsReadLittle(t *testing.T) {
	t.Parallel()
	b := recorded(t, services.Database(t))
	_, err := b.db.Exec(t.Context(), `
INSERT INTO sftp_servers (name, host, username) SELECT 's' || i, 'h', 'u' FROM generate_series(1, 500) i;
INSERT INTO server_logins (server_uuid, accepted) SELECT server_uuid, true FROM sftp_servers`)
	require.NoError(t, err)
	server, err := b.ServerByName(t.Context(), "s7")
	require.NoError(t, err)
	for _, state := range []string{"SELECT", "ANALYZE"} {
		_, err := b.db.Exec(t.Context(), state)
		require.NoError(t, err)
		b.requireBounded(t, "check", 20, func() error { return b.CheckPassword(t.Context(), server) })
		b.requireBounded(t, "reserve", 40, func() error { _, err := b.ReservePassword(t.Context(), server); return err })
	}
}

// A login that has to wait does not hold up another one of its account that does not: accepted
// credentials are not affected by servers whose own never were.
func TestWaitingLoginsLetOthersPass(t *testing.T) {
	t.Parallel()
	b := setup(t)
	accepted := b.addAccount(t, "accepted", "h", "u")
	require.NoError(t, b.send(t, accepted, ingest.LoginAccepted))
	for _, name := range []string{"a", "b"} {
		_, err := b.ReservePassword(t.Context(), b.addAccount(t, name, "h", "u"))
		require.NoError(t, err)
	}
	waiting := b.addAccount(t, "waiting", "h", "u")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := b.ReservePassword(ctx, waiting)
		ended <- err
	}()
	require.Eventually(t, func() bool {
		var begun bool
		assert.NoError(t, b.db.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM server_logins WHERE server_uuid = $1)", waiting.UUID).Scan(&begun))
		return begun
	}, time.Minute, 5*time.Millisecond)
	within, stop := context.WithTimeout(t.Context(), 15*time.Second)
	defer stop()
	_, err := b.ReservePassword(within, accepted)
	require.NoError(t, err)
	cancel()
	require.Error(t, <-ended)
}
