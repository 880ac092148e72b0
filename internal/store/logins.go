package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	currentLogin = `SELECT host, port, username, password_encrypted FROM sftp_servers WHERE server_uuid = $1 AND removed_at IS NULL FOR SHARE`
	beginLogins  = `INSERT INTO server_logins (server_uuid) VALUES ($1) ON CONFLICT (server_uuid) DO NOTHING`

	// expireLogins counts what killed processes have left as unanswered.
	expireLogins = `
WITH left_over AS (DELETE FROM server_login_attempts WHERE server_uuid = $1 AND began < now() - interval '10 minutes' RETURNING id)
UPDATE server_logins SET unanswered = unanswered + (SELECT count(*) FROM left_over),
	not_before = CASE WHEN EXISTS (SELECT FROM left_over) THEN now() + interval '10 seconds' ELSE not_before END
WHERE server_uuid = $1`

	readLogins = `
SELECT refused, unanswered, coalesce(not_before, now()), coalesce(not_before > now(), false),
	(SELECT count(*) FROM server_login_attempts a WHERE a.server_uuid = l.server_uuid)
FROM server_logins l WHERE server_uuid = $1`

	beginLogin   = `INSERT INTO server_login_attempts (server_uuid) VALUES ($1) RETURNING id`
	endLogin     = `DELETE FROM server_login_attempts WHERE id = $1 AND server_uuid = $2`
	forgetLogins = `DELETE FROM server_logins WHERE server_uuid = $1`

	acceptLogin = `UPDATE server_logins SET refused = 0, unanswered = 0, not_before = NULL WHERE server_uuid = $1`
	refuseLogin = `UPDATE server_logins SET refused = least(refused + 1, 2), unanswered = 0, not_before = NULL WHERE server_uuid = $1`
	// A reset is no refusal, but may hide one: the pause grows from 5 s to 2 min.
	loseLogin = `
UPDATE server_logins SET unanswered = unanswered + 1,
	not_before = now() + least(interval '5 seconds' * 2 ^ least(unanswered, 10), interval '2 minutes')
WHERE server_uuid = $1`
)

const (
	// reserveWait bounds how long a log-in waits for others to end.
	reserveWait = 30 * time.Second
	// reserveAgain is how soon they are looked at again.
	reserveAgain = 200 * time.Millisecond
)

// errLoginsUnderWay says that as many passwords are being sent as may be refused.
var errLoginsUnderWay = errors.New("other log-ins are under way")

// CheckPassword returns an error when ReservePassword would refuse the password
// now, other than for log-ins under way.
func (s *Store) CheckPassword(ctx context.Context, server ingest.Server) error {
	var l logins
	err := s.retry(ctx, "read refused log-ins", func() error {
		err := l.read(ctx, s.pool, server.UUID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return l.check(server)
}

// ReservePassword reserves one of the passwords that the server may still refuse,
// before it is sent. While as many are under way it waits. The errors are of
// KindAuth when none is left until the credentials are changed, and of
// KindTransient when the server was changed since the caller read it, or when the
// last ones were not answered.
func (s *Store) ReservePassword(ctx context.Context, server ingest.Server) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, reserveWait)
	defer cancel()
	for {
		err = s.inTx(ctx, "reserve a log-in", func(tx pgx.Tx) (err error) {
			id, err = reservePassword(ctx, tx, server)
			return err
		})
		if !errors.Is(err, errLoginsUnderWay) {
			return id, err
		}
		select {
		case <-time.After(reserveAgain):
		case <-ctx.Done():
			return 0, ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: other log-ins are under way whose outcome is awaited", server.Name)
		}
	}
}

func reservePassword(ctx context.Context, tx pgx.Tx, server ingest.Server) (id int64, err error) {
	var now ingest.Server
	err = tx.QueryRow(ctx, currentLogin, server.UUID).Scan(&now.Host, &now.Port, &now.Username, &now.PasswordEncrypted)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, errNo("server with uuid", server.UUID)
	case err != nil:
		return 0, err
	case now.Host != server.Host || now.Port != server.Port || now.Username != server.Username || !bytes.Equal(now.PasswordEncrypted, server.PasswordEncrypted):
		return 0, ingest.Errorf(ingest.KindTransient, "server %s was changed while it was logged in to: it is tried again as it is now", server.Name)
	}
	if _, err := tx.Exec(ctx, beginLogins, server.UUID); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, expireLogins, server.UUID); err != nil { // locks the row
		return 0, err
	}
	var l logins
	if err := l.read(ctx, tx, server.UUID); err != nil {
		return 0, err
	}
	if err := l.check(server); err != nil {
		return 0, err
	}
	if l.refused+l.underWay >= ingest.MaxRefusedPasswords {
		return 0, errLoginsUnderWay
	}
	err = tx.QueryRow(ctx, beginLogin, server.UUID).Scan(&id)
	return id, err
}

// logins is what is known of one server's log-ins.
type logins struct {
	refused, unanswered, underWay int
	notBefore                     time.Time
	waits                         bool
}

func (l *logins) read(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, serverUUID string) error {
	return db.QueryRow(ctx, readLogins, serverUUID).Scan(&l.refused, &l.unanswered, &l.notBefore, &l.waits, &l.underWay)
}

// check returns why no password may be sent now.
func (l *logins) check(server ingest.Server) error {
	switch {
	case l.refused >= ingest.MaxRefusedPasswords:
		return ingest.Errorf(ingest.KindAuth,
			"server %s has refused the credentials of user %s %d times, so the password is not sent again, because servers lock accounts: check it with the partner, then enter it again, even if it is the same (`stevedore server edit %s --password-file FILE`)",
			server.Name, server.Username, l.refused, server.Name)
	case l.waits:
		return ingest.Errorf(ingest.KindTransient,
			"server %s: the connection broke %d time(s) in a row after the password was sent, so the next log-in waits until %s: servers lock accounts",
			server.Name, l.unanswered, l.notBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// SettlePassword records what became of a reserved password. One whose credentials
// have been changed meanwhile is forgotten.
func (s *Store) SettlePassword(ctx context.Context, server ingest.Server, id int64, fate ingest.PasswordFate) error {
	record := loseLogin
	switch fate {
	case ingest.PasswordAccepted:
		record = acceptLogin
	case ingest.PasswordRefused:
		record = refuseLogin
	}
	return s.inTx(ctx, "record a log-in", func(tx pgx.Tx) error {
		// The lock comes first, as in ReservePassword.
		if _, err := tx.Exec(ctx, `SELECT FROM server_logins WHERE server_uuid = $1 FOR UPDATE`, server.UUID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, endLogin, id, server.UUID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, record, server.UUID)
		return err
	})
}

// A bound that was found before holds until it is forgotten.
const learnReadWindow = `
UPDATE sftp_servers SET read_window_at = now(),
	read_window = CASE WHEN read_window_at > now() - interval '7 days' THEN least(read_window, $2::int) ELSE $2 END
WHERE server_uuid = $1`

// LearnReadWindow records how many outstanding reads of one file the server bears,
// 1 to 64.
func (s *Store) LearnReadWindow(ctx context.Context, serverUUID string, window int) error {
	return s.changeServer(ctx, "record the read window", serverUUID, learnReadWindow, min(max(window, 1), 64))
}
