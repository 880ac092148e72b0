package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// KeysetCanary returns the value that the installation's keyset has sealed, nil
// when there is none yet.
func (s *Store) KeysetCanary(ctx context.Context) (sealed []byte, err error) {
	err = s.retry(ctx, "read the keyset's canary", func() error {
		err := s.pool.QueryRow(ctx, `SELECT sealed FROM keyset_canary`).Scan(&sealed)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return sealed, err
}

const keepCanary = `
INSERT INTO keyset_canary (sealed) VALUES ($2)
ON CONFLICT (one) DO UPDATE SET sealed = excluded.sealed WHERE keyset_canary.sealed = $1`

// KeepKeysetCanary keeps the value instead of the earlier one, nil for none, and
// returns what is kept: that of another process if it was first.
func (s *Store) KeepKeysetCanary(ctx context.Context, earlier, sealed []byte) (kept []byte, err error) {
	err = s.retry(ctx, "keep the keyset's canary", func() error {
		_, err := s.pool.Exec(ctx, keepCanary, nullIfEmpty(earlier), sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.KeysetCanary(ctx)
}
