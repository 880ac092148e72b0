// Package store keeps the ledger of servers, files, events and scans in
// PostgreSQL. It is the only package with SQL.
//
// Every method may be repeated: a transaction that fails for a passing reason
// is run again as a whole, also when the connection was lost while it
// committed, because doing any of them twice leaves the same rows as once.
package store

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"stevedore/internal/ingest"
)

const (
	// defaultMaxConns suits a worker with some dozens of activities: each
	// holds a connection for milliseconds only.
	defaultMaxConns = 10
	// connectTimeout makes a wrong address an error and not a silence. A
	// connect_timeout in the URL takes precedence.
	connectTimeout = 5 * time.Second
	// idleInTransaction frees the locks of a client that died with an open
	// transaction on a network that does not tell.
	idleInTransaction = "60s"
)

// Config says how to reach the database.
type Config struct {
	// DatabaseURL is a PostgreSQL URL or key=value string; required.
	DatabaseURL string
	// MaxConns bounds the connections of this process; default 10.
	MaxConns int32
	// StatementTimeout ends statements that run longer; default 0, which is none. A
	// statement_timeout in the URL takes precedence.
	StatementTimeout time.Duration
}

// Store is the ledger. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	// address is host:port for messages.
	address string
	// settled is up to where events are.
	settled settled
	// unfolded counts what this process appended to file_deltas since it folded.
	unfolded atomic.Int64
	// commits gathers changes of files.
	commits committer
}

// New connects and checks that the database answers. Whether its schema is
// current is for SchemaCurrent to say, so that New also serves set-up.
func New(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil || cfg.DatabaseURL == "" {
		return nil, errBadURL()
	}
	pc.MaxConns = defaultMaxConns
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	if !strings.Contains(cfg.DatabaseURL, "connect_timeout") {
		pc.ConnConfig.ConnectTimeout = connectTimeout
	}
	setDefault(pc.ConnConfig.RuntimeParams, "application_name", "stevedore")
	// Compiling takes longer than the short queries here.
	setDefault(pc.ConnConfig.RuntimeParams, "jit", "off")
	if cfg.StatementTimeout > 0 {
		setDefault(pc.ConnConfig.RuntimeParams, "statement_timeout", strconv.FormatInt(cfg.StatementTimeout.Milliseconds(), 10))
	}
	setDefault(pc.ConnConfig.RuntimeParams, "idle_in_transaction_session_timeout", idleInTransaction)

	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open the connection pool: %w", err)
	}
	address := net.JoinHostPort(pc.ConnConfig.Host, strconv.Itoa(int(pc.ConnConfig.Port)))
	s := &Store{pool: pool, address: address}
	if err := s.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// errBadURL leaves out the URL and what the parser said of it: both may hold
// the password.
func errBadURL() error {
	return ingest.Errorf(ingest.KindInvalid,
		"STEVEDORE_DATABASE_URL is not a PostgreSQL URL: use postgres://user:password@host:port/database")
}

func setDefault(params map[string]string, key, value string) {
	if _, set := params[key]; !set {
		params[key] = value
	}
}

// PoolStats is how the connections of this process stand.
type PoolStats struct {
	InUse, Idle, Max int
	// Acquires counts how often one was taken, Waited how often none was free;
	// WaitTime is how long all of that took.
	Acquires, Waited int64
	WaitTime         time.Duration
}

// PoolStats says how the connections stand. It asks nobody.
func (s *Store) PoolStats() PoolStats {
	stat := s.pool.Stat()
	return PoolStats{
		InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Max: int(stat.MaxConns()),
		Acquires: stat.AcquireCount(), Waited: stat.EmptyAcquireCount(), WaitTime: stat.AcquireDuration(),
	}
}

// Close commits the changes that wait and closes all connections. It waits for
// those in use.
func (s *Store) Close() {
	s.stopCommits()
	s.pool.Close()
}

// Ping checks that the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.retry(ctx, "ping the database", func() error { return s.pool.Ping(ctx) })
}
