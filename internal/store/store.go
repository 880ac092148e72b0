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
	// defaultMaxConns suits a worker with dozens of activities: each holds a connection for
	// milliseconds.
	defaultMaxConns = 10
	// connectTimeout bounds connecting to a wrong address. A connect_timeout in the URL takes
	// precedence.
	connectTimeout = 5 * time.Second
	// idleInTransaction releases the locks of a client that died with an open transaction, when the
	// network does not report its end.
	idleInTransaction = "60s"
)

// Config configures the connection to the database.
type Config struct {
	// DatabaseURL is a PostgreSQL URL or key=value string; required.
	DatabaseURL string
	// MaxConns bounds the connections of this process; default 10.
	MaxConns int32
	// StatementTimeout cancels statements that run longer; default 0, no timeout. A
	// statement_timeout in the URL takes precedence.
	StatementTimeout time.Duration
}

// Store is the ledger. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	// address is host:port for messages.
	address string
	// watermark is the id up to which events are final.
	watermark watermark
	// unfolded counts the rows that this process appended to file_deltas since its last fold.
	unfolded atomic.Int64
	// commits batches changes of files.
	commits committer
	// reservations orders the password reservations of each account.
	reservations turns
}

// New connects and checks that the database responds. It does not check the schema, so that it
// also serves migrations; see SchemaCurrent.
func New(ctx context.Context, cfg Config) (*Store, error) {
	s, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

// Open returns a Store that connects when it is first used. The only errors are invalid
// settings.
func Open(ctx context.Context, cfg Config) (*Store, error) {
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
	// JIT compilation takes longer than the short queries here.
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
	return &Store{pool: pool, address: address}, nil
}

// errBadURL omits the URL and the parser's message: both may contain the password.
func errBadURL() error {
	return ingest.Errorf(ingest.KindInvalid,
		"STEVEDORE_DATABASE_URL is not a PostgreSQL URL: use postgres://user:password@host:port/database")
}

func setDefault(params map[string]string, key, value string) {
	if _, set := params[key]; !set {
		params[key] = value
	}
}

// PoolStats are statistics of the connection pool of this process.
type PoolStats struct {
	InUse, Idle, Max int
	// Acquires counts acquired connections, Waited the acquisitions that waited for a free
	// one. WaitTime is the total time to acquire.
	Acquires, Waited int64
	WaitTime         time.Duration
}

// PoolStats returns the statistics of the pool, without a query.
func (s *Store) PoolStats() PoolStats {
	stat := s.pool.Stat()
	return PoolStats{
		InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Max: int(stat.MaxConns()),
		Acquires: stat.AcquireCount(), Waited: stat.EmptyAcquireCount(), WaitTime: stat.AcquireDuration(),
	}
}

// Close commits pending changes, waits for connections in use, and closes all of them.
func (s *Store) Close() {
	s.stopCommits()
	s.pool.Close()
}

// Ping checks that the database responds.
func (s *Store) Ping(ctx context.Context) error {
	return s.retry(ctx, "ping the database", func() error { return s.pool.Ping(ctx) })
}
