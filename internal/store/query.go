package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// querier is the connection pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// selectAll returns the rows of a query, repeated after transient errors; op names the operation.
func selectAll[T any](ctx context.Context, s *Store, op string, scan pgx.RowToFunc[T], query string, args ...any) (all []T, err error) {
	err = s.retry(ctx, op, func() error {
		rows, err := s.pool.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scan)
		return err
	})
	return all, err
}

// selectOne returns the single row of a query, repeated after transient errors. Without a row it
// returns missing.
func selectOne[T any](ctx context.Context, s *Store, op string, missing error, scan pgx.RowToFunc[T], query string, args ...any) (row T, err error) {
	err = s.retry(ctx, op, func() error {
		row, err = queryOne(ctx, s.pool, missing, scan, query, args...)
		return err
	})
	return row, err
}

// queryOne returns the single row of a query, or missing if there is none.
func queryOne[T any](ctx context.Context, db querier, missing error, scan pgx.RowToFunc[T], query string, args ...any) (row T, err error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return row, err
	}
	row, err = pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		err = missing
	}
	return row, err
}

// exec runs a statement, repeated after transient errors.
func (s *Store) exec(ctx context.Context, op, statement string, args ...any) error {
	return s.retry(ctx, op, func() error {
		_, err := s.pool.Exec(ctx, statement, args...)
		return err
	})
}
