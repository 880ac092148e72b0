package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	currentLogin = `SELECT host, port, username, password_encrypted FROM sftp_servers WHERE server_uuid = $1 AND removed_at IS NULL FOR SHARE`
	// Without a row, the credentials are those the server was added with.
	beginLogins = `INSERT INTO server_logins (server_uuid, since) SELECT server_uuid, created_at FROM sftp_servers WHERE server_uuid = $1 ON CONFLICT (server_uuid) DO NOTHING`

	lockLogins = `SELECT FROM server_logins WHERE server_uuid = $1 FOR UPDATE`

	// expireLogins counts the attempts of killed processes as unanswered.
	expireLogins = `
WITH expired AS (DELETE FROM server_login_attempts WHERE server_uuid = $1 AND began < now() - interval '10 minutes' RETURNING id),
	lost AS (SELECT count(*)::integer AS n FROM expired)
UPDATE server_logins SET unanswered = unanswered + n, not_before = now() + login_pause(unanswered + n - 1, accepted)
FROM lost WHERE server_uuid = $1 AND n > 0`

	readLogins = `
SELECT refused, unanswered, coalesce(not_before, now()), coalesce(not_before > now(), false), accepted,
	keys_refused, keys_unanswered, coalesce(keys_not_before, now()), coalesce(keys_not_before > now(), false),
	(SELECT count(*) FROM server_login_attempts a WHERE a.server_uuid = l.server_uuid)
FROM server_logins l WHERE server_uuid = $1`

	// lockAccount serializes reservations for all servers of an account.
	lockAccount = `SELECT pg_advisory_xact_lock(hashtextextended(encode($1::bytea, 'hex'), 0))`

	// accountLogins counts the refused and outstanding passwords of other servers with the account of server $1, since its
	// credentials were entered or last accepted. Attempts of killed processes end after ten minutes, also of a server
	// that does not log in again. Credentials that were accepted once are not affected by servers
	// whose own never were: those may have a wrong password. The query starts from refused and
	// outstanding passwords, which are few: an account may have a thousand servers.
	accountLogins = `
WITH own AS (SELECT since, accepted FROM server_logins WHERE server_uuid = $1),
others AS MATERIALIZED (
	SELECT o.server_uuid, o.refused, 0 AS in_flight, o.accepted FROM own, server_logins o WHERE o.refused > 0 AND o.refused_at > own.since
	UNION ALL
	SELECT a.server_uuid, 0, 1, (SELECT accepted FROM server_logins o WHERE o.server_uuid = a.server_uuid)
	FROM server_login_attempts a WHERE a.began >= now() - interval '10 minutes')
SELECT coalesce(sum(o.refused), 0)::integer, coalesce(sum(o.in_flight), 0)::integer, coalesce(min(t.name) FILTER (WHERE o.refused > 0), '')
FROM others o CROSS JOIN own JOIN sftp_servers s ON s.server_uuid = $1
JOIN sftp_servers t ON t.server_uuid = o.server_uuid AND t.server_uuid <> s.server_uuid AND t.removed_at IS NULL
	AND lower(rtrim(t.host, '.')) = lower(rtrim(s.host, '.')) AND t.port = s.port AND t.username = s.username
WHERE o.accepted OR NOT own.accepted`

	beginLogin   = `INSERT INTO server_login_attempts (server_uuid) VALUES ($1) RETURNING id`
	endLogin     = `DELETE FROM server_login_attempts WHERE id = $1 AND server_uuid = $2`
	forgetLogins = `DELETE FROM server_logins WHERE server_uuid = $1`
	resetLogins  = `INSERT INTO server_logins (server_uuid) VALUES ($1)`

	recordAccepted = `UPDATE server_logins SET refused = 0, unanswered = 0, not_before = NULL, accepted = true, since = now() WHERE server_uuid = $1`
	recordRefused  = `UPDATE server_logins SET refused = least(refused + 1, 2), refused_at = now(), unanswered = 0, not_before = NULL WHERE server_uuid = $1`
	// A connection reset is not a refusal, but may hide one.
	recordUnanswered = `UPDATE server_logins SET unanswered = unanswered + 1, not_before = now() + login_pause(unanswered, accepted) WHERE server_uuid = $1`

	sameKey = `
SELECT EXISTS (SELECT FROM sftp_servers WHERE server_uuid = $1 AND removed_at IS NULL AND host = $2 AND port = $3 AND username = $4
	AND private_key_encrypted IS NOT DISTINCT FROM $5 FOR SHARE)`
	recordAcceptedKey = `
UPDATE server_logins SET keys_refused = 0, keys_unanswered = 0, keys_not_before = NULL, accepted = true
WHERE server_uuid = $1 AND NOT (accepted AND keys_refused = 0 AND keys_unanswered = 0)`
	recordRefusedKey = `
UPDATE server_logins SET keys_refused = keys_refused + 1, keys_unanswered = 0,
	keys_not_before = CASE WHEN keys_refused + 1 >= 3 THEN now() + interval '15 minutes' END
WHERE server_uuid = $1`
	recordUnansweredKey = `UPDATE server_logins SET keys_unanswered = keys_unanswered + 1, keys_not_before = now() + login_pause(keys_unanswered, accepted) WHERE server_uuid = $1`
)

const (
	// reserveWait bounds how long a login waits for others to end.
	reserveWait = 30 * time.Second
	// reservePoll is the polling interval. One login per account and process polls, for
	// reserveTurn: others may not have to wait for the same logins.
	reservePoll = 50 * time.Millisecond
	reserveTurn = time.Second
)

// errLoginsInFlight reports that the passwords being sent, if refused, reach the limit.
var errLoginsInFlight = errors.New("other logins are in flight")

// restartLogins forgets the logins of a server whose credentials were entered again.
func restartLogins(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	if _, err := tx.Exec(ctx, forgetLogins, serverUUID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, resetLogins, serverUUID)
	return err
}

// CheckPassword returns the error with which ReservePassword would refuse the password now, not
// counting logins in flight.
func (s *Store) CheckPassword(ctx context.Context, server ingest.Server) error {
	l, err := s.logins(ctx, server)
	if err != nil {
		return err
	}
	return l.check(server)
}

// CheckKey returns KindTransient if the server's key must not be offered yet, because it was
// refused or unanswered several times.
func (s *Store) CheckKey(ctx context.Context, server ingest.Server) error {
	l, err := s.logins(ctx, server)
	if err != nil {
		return err
	}
	return l.checkKey(server)
}

// logins returns the zero value for a server without logins.
func (s *Store) logins(ctx context.Context, server ingest.Server) (l logins, err error) {
	err = s.retry(ctx, "read refused logins", func() error {
		err := l.read(ctx, s.pool, server.UUID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return l, err
}

// RecordKeyResult records the outcome of an offered key. The outcome is ignored if the key was
// changed meanwhile.
func (s *Store) RecordKeyResult(ctx context.Context, server ingest.Server, outcome ingest.LoginResult) error {
	record := recordUnansweredKey
	switch outcome {
	case ingest.LoginAccepted:
		record = recordAcceptedKey
	case ingest.LoginRefused:
		record = recordRefusedKey
	}
	return s.inTx(ctx, "record a login by key", func(tx pgx.Tx) error {
		var same bool
		err := tx.QueryRow(ctx, sameKey, server.UUID, server.Host, server.Port, server.Username, server.PrivateKeyEncrypted).Scan(&same)
		if err != nil || !same {
			return err
		}
		if _, err := tx.Exec(ctx, beginLogins, server.UUID); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, record, server.UUID)
		return err
	})
}

// ReservePassword reserves one of the password attempts that may still be refused, before the
// password is sent. It waits while logins in flight use all of them. It returns KindAuth if
// none is left until the credentials are changed. It returns KindTransient if the server was
// changed since the caller read it, or if recent attempts were unanswered.
func (s *Store) ReservePassword(ctx context.Context, server ingest.Server) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, reserveWait)
	defer cancel()
	for {
		done, err := s.reservations.next(ctx, string(account(server)))
		if err != nil {
			return 0, errReserveWait(ctx, server)
		}
		id, err = s.pollReservation(ctx, server)
		done()
		if !errors.Is(err, errLoginsInFlight) {
			return id, err
		}
	}
}

// pollReservation returns errLoginsInFlight after reserveTurn.
func (s *Store) pollReservation(ctx context.Context, server ingest.Server) (id int64, err error) {
	turn := time.NewTimer(reserveTurn)
	defer turn.Stop()
	for {
		var refusal error
		err = s.inTx(ctx, "reserve a login", func(tx pgx.Tx) (err error) {
			id, refusal, err = reservePassword(ctx, tx, server)
			return err
		})
		if err != nil || !errors.Is(refusal, errLoginsInFlight) {
			return id, cmp.Or(err, refusal)
		}
		select {
		case <-time.After(reservePoll):
		case <-turn.C:
			return 0, errLoginsInFlight
		case <-ctx.Done():
			return 0, errReserveWait(ctx, server)
		}
	}
}

func errReserveWait(ctx context.Context, server ingest.Server) error {
	return ingest.Wrap(ingest.KindTransient, context.Cause(ctx), "server %s: waiting for other logins to end", server.Name)
}

// reservePassword returns the reason why no password may be sent now as refusal, so that the
// transaction commits: it may have expired attempts.
func reservePassword(ctx context.Context, tx pgx.Tx, server ingest.Server) (id int64, refusal, err error) {
	var now ingest.Server
	err = tx.QueryRow(ctx, currentLogin, server.UUID).Scan(&now.Host, &now.Port, &now.Username, &now.PasswordEncrypted)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil, errNo("server with uuid", server.UUID)
	case err != nil:
		return 0, nil, err
	case now.Host != server.Host || now.Port != server.Port || now.Username != server.Username || !bytes.Equal(now.PasswordEncrypted, server.PasswordEncrypted):
		return 0, nil, ingest.Errorf(ingest.KindTransient, "server %s was changed during the login: the login is retried with the new settings", server.Name)
	}
	if _, err := tx.Exec(ctx, beginLogins, server.UUID); err != nil {
		return 0, nil, err
	}
	if _, err := tx.Exec(ctx, lockAccount, account(server)); err != nil {
		return 0, nil, err
	}
	if _, err := tx.Exec(ctx, lockLogins, server.UUID); err != nil {
		return 0, nil, err
	}
	if _, err := tx.Exec(ctx, expireLogins, server.UUID); err != nil {
		return 0, nil, err
	}
	var l logins
	if err := l.read(ctx, tx, server.UUID); err != nil {
		return 0, nil, err
	}
	if refusal := l.check(server); refusal != nil {
		return 0, refusal, nil
	}
	if l.refused+l.inFlight+l.others.refused+l.others.inFlight >= ingest.MaxRefusedPasswords {
		return 0, errLoginsInFlight, nil
	}
	err = tx.QueryRow(ctx, beginLogin, server.UUID).Scan(&id)
	return id, nil, err
}

// logins is the login state of a server.
type logins struct {
	refused, inFlight int
	// others are the logins of other servers with the same account; name is one with
	// refused passwords.
	others struct {
		refused, inFlight int
		name              string
	}
	// accepted reports that a login with the current credentials succeeded.
	accepted       bool
	password, keys pauseState
	// keysRefused counts consecutive logins with a refused key.
	keysRefused int
}

// pauseState counts consecutive unanswered logins.
type pauseState struct {
	unanswered int
	notBefore  time.Time
	waits      bool
}

func (p pauseState) until() string { return p.notBefore.UTC().Format(time.RFC3339) }

func (l *logins) read(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, serverUUID string) error {
	err := db.QueryRow(ctx, readLogins, serverUUID).Scan(&l.refused, &l.password.unanswered, &l.password.notBefore, &l.password.waits, &l.accepted,
		&l.keysRefused, &l.keys.unanswered, &l.keys.notBefore, &l.keys.waits, &l.inFlight)
	if err != nil {
		return err
	}
	return db.QueryRow(ctx, accountLogins, serverUUID).Scan(&l.others.refused, &l.others.inFlight, &l.others.name)
}

// check returns the reason why no password may be sent now, or nil.
func (l *logins) check(server ingest.Server) error {
	const entered = "enter the password again, even if unchanged (`stevedore server edit %s --password-file FILE`)"
	p := l.password
	switch {
	case l.refused >= ingest.MaxRefusedPasswords:
		return ingest.Errorf(ingest.KindAuth,
			"server %s refused the credentials of user %q %d times; the password is not sent again, because servers lock accounts: check it with the partner, then "+entered,
			server.Name, server.Username, l.refused, server.Name)
	case l.refused+l.others.refused >= ingest.MaxRefusedPasswords:
		return ingest.Errorf(ingest.KindAuth,
			"server %s: the account %q was refused %d times, also for server %s; the password is not sent, because servers lock accounts: check it with the partner, then "+entered,
			server.Name, server.Username, l.refused+l.others.refused, l.others.name, server.Name)
	case p.waits && p.unanswered > 1 && !l.accepted:
		return ingest.Errorf(ingest.KindTransient,
			"server %s did not answer the password %d times in a row, and no login with it has ever succeeded: the password is probably wrong or the account locked. The next login is at %s. Check the password with the partner; to retry immediately, "+entered,
			server.Name, p.unanswered, p.until(), server.Name)
	case p.waits:
		return ingest.Errorf(ingest.KindTransient,
			"server %s: the connection broke %s in a row after the password was sent; the next login waits until %s, because servers lock accounts",
			server.Name, ingest.Counted(p.unanswered, "time", "times"), p.until())
	}
	return nil
}

// checkKey returns the reason why the key must not be offered now, or nil.
func (l *logins) checkKey(server ingest.Server) error {
	const check = "to retry immediately, enter the key again, even if unchanged (`stevedore server edit %s --private-key-file FILE`)"
	switch {
	case !l.keys.waits:
		return nil
	case l.keysRefused > 0 && l.keys.unanswered == 0:
		return ingest.Errorf(ingest.KindTransient,
			"server %s refused the key of user %q %d times; the next login waits until %s, because servers block addresses: check with the partner that the public key is installed; "+check,
			server.Name, server.Username, l.keysRefused, l.keys.until(), server.Name)
	case !l.accepted && l.keys.unanswered > 1:
		return ingest.Errorf(ingest.KindTransient,
			"server %s closed the connection after the key was offered, %d times in a row, and no login with it has succeeded: it probably rejects the key or blocks this address. The next login waits until %s: check with the partner; "+check,
			server.Name, l.keys.unanswered, l.keys.until(), server.Name)
	default:
		return ingest.Errorf(ingest.KindTransient,
			"server %s: the connection broke %s in a row after the key was offered; the next login waits until %s, because servers block addresses",
			server.Name, ingest.Counted(l.keys.unanswered, "time", "times"), l.keys.until())
	}
}

// RecordPasswordResult records the outcome of a reserved password. The outcome is ignored if the
// credentials were changed meanwhile.
func (s *Store) RecordPasswordResult(ctx context.Context, server ingest.Server, id int64, outcome ingest.LoginResult) error {
	record := recordUnanswered
	switch outcome {
	case ingest.LoginAccepted:
		record = recordAccepted
	case ingest.LoginRefused:
		record = recordRefused
	}
	return s.inTx(ctx, "record a login", func(tx pgx.Tx) error {
		// Lock first, in the same order as ReservePassword.
		if _, err := tx.Exec(ctx, lockLogins, server.UUID); err != nil {
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

// A recent limit is only lowered, until it expires.
const setReadWindow = `
UPDATE sftp_servers SET read_window_at = now(),
	read_window = CASE WHEN read_window_at > now() - interval '7 days' THEN least(read_window, $2::int) ELSE $2 END
WHERE server_uuid = $1`

// LearnReadWindow records the number of outstanding reads of one file that the server accepts,
// clamped to 1..64.
func (s *Store) LearnReadWindow(ctx context.Context, serverUUID string, window int) error {
	return s.changeServer(ctx, "record the read window", serverUUID, setReadWindow, min(max(window, 1), 64))
}
