package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sethvargo/go-retry"
)

const (
	// maxRetries and firstPause bridge a deadlock, a restarted pooler or a lost connection, about
	// 0.5 s in total. Longer outages are left to the caller's retries.
	maxRetries = 5
	firstPause = 15 * time.Millisecond
	// jitterPercent separates callers that collided.
	jitterPercent = 33
)

// inTx runs fn in a transaction and repeats it after transient errors; fn must reset its
// results on every run.
func (s *Store) inTx(ctx context.Context, op string, fn func(tx pgx.Tx) error) error {
	return s.retry(ctx, op, func() error { return pgx.BeginFunc(ctx, s.pool, fn) })
}

// retry runs fn until it succeeds or fails permanently, and explains the error; op names the
// operation, such as "claim file ...".
func (s *Store) retry(ctx context.Context, op string, fn func() error) error {
	pauses := retry.WithMaxRetries(maxRetries, retry.WithJitterPercent(jitterPercent, retry.NewExponential(firstPause)))
	err := retry.Do(ctx, pauses, func(context.Context) error {
		err := fn()
		if err != nil && transient(err) {
			return retry.RetryableError(err)
		}
		return err
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	default:
		return s.explain(op, err)
	}
}

// transient reports whether repeating the whole transaction may succeed.
func transient(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case codeSerialization, codeDeadlock, codeAdminShutdown, codeCrashShutdown, codeCannotConnect, codeTooManyConns:
			return true
		}
		return strings.HasPrefix(pg.Code, classConnection)
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || pgconn.SafeToRetry(err) || connectionLost(err)
}

// connectionLost reports whether the connection broke during use. After a loss during COMMIT,
// the outcome is unknown.
func connectionLost(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed)
}

// readCommitted overrides the database's default: statements after a lock must see everything
// committed before it was granted.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

const (
	commit   = `commit`
	rollback = `rollback`

	// byIndex is for transactions that look up short lists of rows: it forces generic plans that
	// use indexes. A plan made while a table was small reads the whole table for each list. It
	// stays cached until the table is analyzed, a minute after it has grown.
	byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`
)

// inBatch runs the queued statements as one transaction in one round trip, repeated after
// transient errors.
func (s *Store) inBatch(ctx context.Context, op string, queue func(b *pgx.Batch)) error {
	return s.retry(ctx, op, func() error {
		return s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
			b := &pgx.Batch{}
			b.BeginTx(readCommitted)
			b.Queue(byIndex)
			queue(b)
			b.Queue(commit)
			return orRollback(ctx, conn, conn.SendBatch(ctx, b).Close())
		})
	})
}

// orRollback rolls back the transaction that a failed statement left open, so that the
// connection can be reused.
func orRollback(ctx context.Context, conn *pgxpool.Conn, err error) error {
	if err != nil && !conn.Conn().IsClosed() && conn.Conn().PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, rollback) // on failure, the pool closes the connection
	}
	return err
}
