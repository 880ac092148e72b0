package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const tokenColumns = `name, role, expires_at, revoked_at, last_used_at, created_at, created_by`

func scanToken(row pgx.CollectableRow) (ingest.Token, error) {
	var t ingest.Token
	var expires, revoked, used *time.Time
	err := row.Scan(&t.Name, &t.Role, &expires, &revoked, &used, &t.CreatedAt, &t.CreatedBy)
	t.ExpiresAt, t.RevokedAt, t.LastUsedAt, t.CreatedAt = utc(expires), utc(revoked), utc(used), t.CreatedAt.UTC()
	return t, err
}

// The digest is random, so the same digest means a repeated request. The name of an expired
// token is free: that token is revoked first.
const (
	retireExpired = `
UPDATE api_tokens SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL AND expires_at <= now()`

	insertToken = `
INSERT INTO api_tokens (token_sha256, name, role, expires_at, created_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (token_sha256) DO UPDATE SET name = excluded.name
RETURNING ` + tokenColumns
)

// AddToken records a token by the SHA-256 of its secret. It returns KindConflict if a valid
// token has the name.
func (s *Store) AddToken(ctx context.Context, digest [32]byte, token ingest.Token) (added ingest.Token, err error) {
	var expires *time.Time
	if !token.ExpiresAt.IsZero() {
		expires = &token.ExpiresAt
	}
	err = s.inTx(ctx, "add a token", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, retireExpired, token.Name); err != nil {
			return err
		}
		added, err = queryOne(ctx, tx, pgx.ErrNoRows, scanToken, insertToken, digest[:], token.Name, string(token.Role), expires, cleanText(token.CreatedBy))
		if violates(err, "api_tokens_live_name") {
			return ingest.Wrap(ingest.KindConflict, err, "a token named %q already exists: revoke it first or choose another name", token.Name)
		}
		return err
	})
	return added, err
}

// The time of use is written at most once a minute, so that most requests only read.
const useToken = `
WITH found AS (SELECT id FROM api_tokens WHERE token_sha256 = $1), used AS (
	UPDATE api_tokens t SET last_used_at = now() FROM found
	WHERE t.id = found.id AND revoked_at IS NULL AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
)
SELECT ` + tokenColumns + `, revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
FROM api_tokens JOIN found USING (id)`

// UseToken returns the token whose secret has the digest, records its use, and reports whether
// it is valid. An unknown digest is KindMissing.
func (s *Store) UseToken(ctx context.Context, digest [32]byte) (token ingest.Token, valid bool, err error) {
	err = s.retry(ctx, "look up a token", func() error {
		var expires, revoked, used *time.Time
		err := s.pool.QueryRow(ctx, useToken, digest[:]).Scan(&token.Name, &token.Role, &expires, &revoked, &used,
			&token.CreatedAt, &token.CreatedBy, &valid)
		if errors.Is(err, pgx.ErrNoRows) {
			return ingest.Errorf(ingest.KindMissing, "no such token")
		}
		token.ExpiresAt, token.RevokedAt, token.LastUsedAt = utc(expires), utc(revoked), utc(used)
		return err
	})
	return token, valid, err
}

const allTokens = `SELECT ` + tokenColumns + ` FROM api_tokens ORDER BY id DESC LIMIT $1`

// Tokens returns all tokens including revoked ones, newest first. limit is the page size:
// default 100, at most 1000.
func (s *Store) Tokens(ctx context.Context, limit int) (tokens []ingest.Token, err error) {
	return selectAll(ctx, s, "list tokens", scanToken, allTokens, pageSize(limit))
}

// Of several tokens with the name, only the newest can be valid.
const revokeToken = `
UPDATE api_tokens SET revoked_at = coalesce(revoked_at, now())
WHERE id = (SELECT id FROM api_tokens WHERE name = $1 ORDER BY id DESC LIMIT 1)
RETURNING ` + tokenColumns

// RevokeToken revokes the token with the name and returns it. It does not change a revoked
// token. An unknown name is KindMissing.
func (s *Store) RevokeToken(ctx context.Context, name string) (token ingest.Token, err error) {
	return selectOne(ctx, s, "revoke a token", errNo("token named", name), scanToken, revokeToken, cleanText(name))
}
