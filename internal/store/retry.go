package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// maxAttempts and firstPause bridge a deadlock, a restarted pooler or a
	// cut connection, about 0.6 s in all. Longer outages are for the caller,
	// who knows how long it may wait.
	maxAttempts = 6
	firstPause  = 20 * time.Millisecond
)

// inTx runs fn in a transaction, again from the start when it failed for a
// passing reason; fn must set what it returns anew on every run.
func (s *Store) inTx(ctx context.Context, op string, fn func(tx pgx.Tx) error) error {
	return s.retry(ctx, op, func() error { return pgx.BeginFunc(ctx, s.pool, fn) })
}

// retry runs fn until it succeeds or fails for a lasting reason, and turns the
// error into one for people; op says what was tried, "claim file ...".
func (s *Store) retry(ctx context.Context, op string, fn func() error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", op, context.Cause(ctx))
		}
		if attempt == maxAttempts || !passing(err) {
			return s.explain(op, err)
		}
		// Half of the pause is random, so that two that collided part.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause *= 2
	}
}

// passing reports whether running the whole transaction again may help.
func passing(err error) bool {
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

// connectionLost reports whether the connection broke while in use. When that
// was during COMMIT, nobody knows whether it happened.
func connectionLost(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed)
}

// readCommitted does not depend on the database's default: statements after a
// lock must see what was committed before it was granted.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

const (
	commit   = `commit`
	rollback = `rollback`

	// byIndex is for transactions that look up short lists of rows: each statement is
	// planned once for lists of any length, and by index. A plan that was made while
	// a table was small would otherwise read all of it for each list, and would be
	// kept until the table is analyzed, a minute after it has grown.
	byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`
)

// inBatch runs the queued statements as one transaction and in one round trip,
// again from the start when it failed for a passing reason.
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

// orRollback ends the transaction that err has left open, so that the connection
// can be used again.
func orRollback(ctx context.Context, conn *pgxpool.Conn, err error) error {
	if err != nil && !conn.Conn().IsClosed() && conn.Conn().PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, rollback) // if it fails, the pool closes the connection
	}
	return err
}
