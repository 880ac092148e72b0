package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// sealPassword sets the server's password, as an operator does.
func (b *testBundle) sealPassword(t *testing.T, sealed string) {
	t.Helper()
	var err error
	b.server, err = b.EditServer(t.Context(), b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.PasswordEncrypted = []byte(sealed)
		return s, nil
	})
	require.NoError(t, err)
}

// TestTwoPasswordsPerChange: concurrent logins send two wrong passwords in total, and none
// until the credentials are changed.
func TestTwoPasswordsPerChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sealPassword(t, "one")
	try := func() (sent int64) {
		var all errgroup.Group
		var count atomic.Int64
		for range 8 {
			all.Go(func() error {
				id, err := b.ReservePassword(t.Context(), b.server)
				if err != nil {
					assert.Equal(t, ingest.KindAuth, ingest.KindOf(err), "%v", err)
					return nil
				}
				count.Add(1)
				return b.RecordPasswordResult(t.Context(), b.server, id, ingest.LoginRefused)
			})
		}
		require.NoError(t, all.Wait())
		return count.Load()
	}
	require.EqualValues(t, 2, try())
	requireKind(t, ingest.KindAuth, b.CheckPassword(t.Context(), b.server), "2 times")
	require.NoError(t, b.ResumeServer(t.Context(), b.server.UUID))
	require.EqualValues(t, 0, try(), "resuming does not change the credentials")

	b.sealPassword(t, "two")
	require.NoError(t, b.CheckPassword(t.Context(), b.server))
	require.EqualValues(t, 2, try())
	_, err := b.EditServer(ingest.WithResealing(t.Context()), b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.PasswordEncrypted = []byte("two with another key")
		return s, nil
	})
	require.NoError(t, err)
	_, err = b.ReservePassword(t.Context(), b.server)
	requireKind(t, ingest.KindTransient, err, "was changed")
	b.server.PasswordEncrypted = []byte("two with another key")
	require.EqualValues(t, 0, try(), "resealing does not change the credentials")
}

func TestAcceptedPasswordsForgetRefusedOnes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	settle := func(fate ingest.LoginResult) {
		id, err := b.ReservePassword(t.Context(), b.server)
		require.NoError(t, err)
		require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, fate))
		require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, ingest.LoginRefused), "settled once")
	}
	for range 3 {
		settle(ingest.LoginRefused)
		settle(ingest.LoginAccepted)
	}
	late, err := b.ReservePassword(t.Context(), b.server)
	require.NoError(t, err)
	b.sealPassword(t, "changed meanwhile")
	require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, late, ingest.LoginRefused))
	settle(ingest.LoginRefused)
	settle(ingest.LoginRefused)
	requireKind(t, ingest.KindAuth, b.CheckPassword(t.Context(), b.server), "2 times")
}

// TestLostPasswordsUseNothingUp: connections that break after the password are not refusals,
// however many; the pause between them grows.
func TestLostPasswordsUseNothingUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	last := time.Duration(0)
	accepted, err := b.ReservePassword(t.Context(), b.server)
	require.NoError(t, err)
	require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, accepted, ingest.LoginAccepted))
	for range 5 {
		id, err := b.ReservePassword(t.Context(), b.server)
		require.NoError(t, err)
		require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, ingest.LoginUnanswered))
		_, err = b.ReservePassword(t.Context(), b.server)
		requireKind(t, ingest.KindTransient, err, "next login")
		var pause time.Duration
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT not_before - now() FROM server_logins").Scan(&pause))
		assert.Greater(t, pause, last)
		last = pause
		_, err = b.db.Exec(t.Context(), "UPDATE server_logins SET not_before = now()")
		require.NoError(t, err)
	}
}

// TestKilledLogins: reservations of killed processes expire as unanswered logins, once.
func TestKilledLogins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	killed := func() (pause time.Duration) {
		for range 2 {
			_, err := b.ReservePassword(t.Context(), b.server)
			require.NoError(t, err)
		}
		b.exec(t, "UPDATE server_login_attempts SET began = now() - interval '11 minutes'")
		_, err := b.ReservePassword(t.Context(), b.server)
		requireKind(t, ingest.KindTransient, err, "next login")
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT not_before - now() FROM server_logins").Scan(&pause))
		b.exec(t, "UPDATE server_logins SET not_before = now()")
		return pause
	}
	b.sealPassword(t, "one")
	assert.Greater(t, killed(), 19*time.Minute, "the wait is that of a server that only disconnects")
	id, err := b.ReservePassword(t.Context(), b.server)
	require.NoError(t, err)
	require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, ingest.LoginAccepted))
	assert.Less(t, killed(), time.Minute)
	_, err = b.ReservePassword(t.Context(), b.server)
	require.NoError(t, err)
}

func TestLearnedReadWindow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	window := func() int {
		server, err := b.Server(t.Context(), b.server.UUID)
		require.NoError(t, err)
		return server.Reads()
	}
	assert.Zero(t, window())
	for _, learned := range []struct{ learn, want int }{{32, 32}, {16, 16}, {32, 16}, {0, 1}} {
		require.NoError(t, b.LearnReadWindow(t.Context(), b.server.UUID, learned.learn))
		assert.Equal(t, learned.want, window())
	}
	_, err := b.db.Exec(t.Context(), "UPDATE sftp_servers SET read_window_at = now() - interval '8 days'")
	require.NoError(t, err)
	assert.Zero(t, window(), "forgotten")
	require.NoError(t, b.LearnReadWindow(t.Context(), b.server.UUID, 32))
	assert.Equal(t, 32, window())
}

// hourOf simulates an hour in which every component logs in as soon as the ledger permits, and
// returns the number of passwords sent. It shifts the recorded times instead of the database's
// clock.
func (b *testBundle) hourOf(t *testing.T, fate ingest.LoginResult) (sent int) {
	t.Helper()
	for passed := time.Duration(0); passed < time.Hour; {
		id, err := b.ReservePassword(t.Context(), b.server)
		if ingest.IsKind(err, ingest.KindAuth) {
			return sent
		}
		require.NoError(t, err)
		require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, fate))
		sent++
		var pause *time.Duration
		require.NoError(t, b.db.QueryRow(t.Context(), "SELECT not_before - now() FROM server_logins").Scan(&pause))
		if pause == nil {
			continue
		}
		passed += pause.Round(time.Second)
		_, err = b.db.Exec(t.Context(), "UPDATE server_logins SET not_before = now()")
		require.NoError(t, err)
	}
	return sent
}

// TestLoginsInAnHourOfAWrongPassword: a server that refuses explicitly receives two
// passwords, a server that only disconnects a few, and one that accepted the password before
// some more.
func TestLoginsInAnHourOfAWrongPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sealPassword(t, "one")
	assert.Equal(t, 2, b.hourOf(t, ingest.LoginRefused), "an explicit refusal, by a status or by SSH_MSG_DISCONNECT")

	b.sealPassword(t, "two")
	assert.Equal(t, 4, b.hourOf(t, ingest.LoginUnanswered), "the connection ends without a message")
	assert.Equal(t, 3, b.hourOf(t, ingest.LoginUnanswered), "logins in each further hour")
	id, err := b.ReservePassword(t.Context(), b.server)
	require.NoError(t, err)
	require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, ingest.LoginUnanswered))
	err = b.CheckPassword(t.Context(), b.server)
	requireKind(t, ingest.KindTransient, err, "did not answer the password 8 times in a row")
	require.ErrorContains(t, err, "wrong or the account locked")
	require.ErrorContains(t, err, "--password-file")

	b.sealPassword(t, "three")
	id, err = b.ReservePassword(t.Context(), b.server)
	require.NoError(t, err)
	require.NoError(t, b.RecordPasswordResult(t.Context(), b.server, id, ingest.LoginAccepted))
	first, later := b.hourOf(t, ingest.LoginUnanswered), b.hourOf(t, ingest.LoginUnanswered)
	assert.Equal(t, []int{14, 6}, []int{first, later}, "the server accepted the password before")
}

// TestRefusedKeys: after three refusals, or one unanswered login, the key is not offered for
// a while. A success or a change of the credentials resets the count.
func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	settle := func(fate ingest.LoginResult) {
		require.NoError(t, b.CheckKey(ctx, b.server))
		require.NoError(t, b.RecordKeyResult(ctx, b.server, fate))
	}
	for range 3 {
		settle(ingest.LoginRefused)
	}
	err := b.CheckKey(ctx, b.server)
	requireKind(t, ingest.KindTransient, err, "3 times")
	require.ErrorContains(t, err, "--private-key-file")
	_, err = b.db.Exec(ctx, "UPDATE server_logins SET keys_not_before = now()")
	require.NoError(t, err)
	settle(ingest.LoginRefused)
	requireKind(t, ingest.KindTransient, b.CheckKey(ctx, b.server), "4 times")

	old := b.server
	b.server, err = b.EditServer(ctx, b.server.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.PrivateKeyEncrypted = []byte("another")
		return s, nil
	})
	require.NoError(t, err)
	require.NoError(t, b.RecordKeyResult(ctx, old, ingest.LoginRefused), "an outcome of the previous key")
	settle(ingest.LoginUnanswered)
	requireKind(t, ingest.KindTransient, b.CheckKey(ctx, b.server), "broke 1 time in a row")
	_, err = b.db.Exec(ctx, "UPDATE server_logins SET keys_not_before = now()")
	require.NoError(t, err)
	settle(ingest.LoginUnanswered)
	requireKind(t, ingest.KindTransient, b.CheckKey(ctx, b.server), "closed the connection after the key was offered, 2 times")
	var pause time.Duration
	require.NoError(t, b.db.QueryRow(ctx, "SELECT keys_not_before - now() FROM server_logins").Scan(&pause))
	assert.Greater(t, pause, 19*time.Minute)
	require.NoError(t, b.RecordKeyResult(ctx, b.server, ingest.LoginAccepted))
	require.NoError(t, b.CheckKey(ctx, b.server))
}
