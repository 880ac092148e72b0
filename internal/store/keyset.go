package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// KeysetCanary returns the value sealed by the installation's keyset, or nil if there is none.
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

const replaceCanary = `
INSERT INTO keyset_canary (sealed) VALUES ($2)
ON CONFLICT (one) DO UPDATE SET sealed = excluded.sealed WHERE keyset_canary.sealed = $1`

// KeepKeysetCanary replaces the value earlier (nil for none) and returns the stored value. If
// another process was first, that is the other process's value.
func (s *Store) KeepKeysetCanary(ctx context.Context, earlier, sealed []byte) (kept []byte, err error) {
	err = s.retry(ctx, "store the keyset's canary", func() error {
		_, err := s.pool.Exec(ctx, replaceCanary, nullIfEmpty(earlier), sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.KeysetCanary(ctx)
}
