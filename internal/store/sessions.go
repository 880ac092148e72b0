package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	deleteExpiredSessions = `DELETE FROM console_sessions WHERE expires_at < now()`

	insertSession = `
INSERT INTO console_sessions (session_sha256, token_sha256, expires_at) VALUES ($1, $2, now() + $3)
ON CONFLICT (session_sha256) DO NOTHING`
)

// OpenSession records a console session, identified by the digest of its cookie, for the token
// with the digest. It expires after the duration.
func (s *Store) OpenSession(ctx context.Context, session, token [32]byte, lasts time.Duration) error {
	return s.inTx(ctx, "open a session", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, deleteExpiredSessions); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertSession, session[:], token[:], lasts)
		return err
	})
}

const sessionToken = `SELECT token_sha256 FROM console_sessions WHERE session_sha256 = $1 AND expires_at > now()`

// SessionToken returns the digest of the session's token, or KindMissing if the session has
// ended.
func (s *Store) SessionToken(ctx context.Context, session [32]byte) (token [32]byte, err error) {
	err = s.retry(ctx, "look up a session", func() error {
		var digest []byte
		err := s.pool.QueryRow(ctx, sessionToken, session[:]).Scan(&digest)
		if errors.Is(err, pgx.ErrNoRows) {
			return ingest.Errorf(ingest.KindMissing, "no such session")
		}
		copy(token[:], digest)
		return err
	})
	return token, err
}

const closeSession = `DELETE FROM console_sessions WHERE session_sha256 = $1`

// CloseSession ends a session. A session that has ended is not an error.
func (s *Store) CloseSession(ctx context.Context, session [32]byte) error {
	return s.exec(ctx, "close a session", closeSession, session[:])
}
