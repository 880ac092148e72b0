package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// expireConnections forgets what killed processes have left.
	expireConnections = `DELETE FROM server_connections WHERE server_uuid = $1 AND confirmed < now() - interval '2 minutes'`

	connectionHolders = `
SELECT holder || ' since ' || to_char(began AT TIME ZONE 'UTC', 'HH24:MI:SS"Z"') FROM server_connections WHERE server_uuid = $1 ORDER BY began`

	openConnection = `INSERT INTO server_connections (connection_uuid, server_uuid, holder) VALUES ($1, $2, $3)`

	// confirmConnection also brings back what counted as left by a killed process.
	confirmConnection = `
INSERT INTO server_connections (connection_uuid, server_uuid, holder) SELECT $1, server_uuid, $3 FROM sftp_servers WHERE server_uuid = $2
ON CONFLICT (connection_uuid) DO UPDATE SET confirmed = now()`

	// outgrowLimit forgets a limit that was tried upward and did not hold.
	outgrowLimit = `
UPDATE sftp_servers s SET connection_limit = NULL, connection_limit_until = NULL, connection_limit_tries = 0
WHERE server_uuid = $1 AND connection_limit_until < now()
	AND connection_limit < (SELECT count(*) FROM server_connections c WHERE c.server_uuid = s.server_uuid)`

	closeConnection = `DELETE FROM server_connections WHERE connection_uuid = $1`

	// learnConnections counts a trial once that several processes make.
	learnConnections = `
UPDATE sftp_servers SET
	connection_limit = CASE WHEN connection_limit_until > now() THEN least(connection_limit, $2::int) ELSE $2 END,
	connection_limit_tries = CASE WHEN connection_limit_until > now() THEN connection_limit_tries ELSE connection_limit_tries + 1 END,
	connection_limit_until = greatest(connection_limit_until, now() + least(make_interval(secs => $3) * CASE
		WHEN connection_limit_until > now() THEN 1 ELSE 2 ^ least(connection_limit_tries, 16) END, interval '24 hours'))
WHERE server_uuid = $1`
)

// OpenConnection records that the process holder is about to connect to the server,
// unless most processes' connections are recorded; 0 has no bound. When full it
// returns no id and who holds them, as people are shown it. A connection must be
// confirmed every minute and closed at its end.
func (s *Store) OpenConnection(ctx context.Context, server ingest.Server, holder string, most int) (id string, holders []string, err error) {
	err = s.inTx(ctx, "record a connection", func(tx pgx.Tx) error {
		id, holders = "", nil
		// Connections of one server are counted one after another.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('server_connections ' || $1, 0))`, server.UUID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, expireConnections, server.UUID); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, connectionHolders, server.UUID)
		if err != nil {
			return err
		}
		if holders, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || most > 0 && len(holders) >= most {
			return err
		}
		id = uuid.NewString()
		_, err = tx.Exec(ctx, openConnection, id, server.UUID, cleanText(holder))
		return err
	})
	return id, holders, err
}

// ConfirmConnection records that the connection still stands. One that goes beyond
// a limit that was learned and has ended shows that the server bears more.
func (s *Store) ConfirmConnection(ctx context.Context, server ingest.Server, holder, id string) error {
	return s.inTx(ctx, "confirm a connection", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, confirmConnection, id, server.UUID, cleanText(holder)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, outgrowLimit, server.UUID)
		return err
	})
}

// CloseConnection forgets the connection.
func (s *Store) CloseConnection(ctx context.Context, id string) error {
	return s.retry(ctx, "forget a connection", func() error {
		_, err := s.pool.Exec(ctx, closeConnection, id)
		return err
	})
}

// LearnConnections records that the server bears no more than so many connections.
// It holds for the time given at first, and twice as long with each trial that is
// refused, up to 24 hours.
func (s *Store) LearnConnections(ctx context.Context, serverUUID string, most int, holds time.Duration) error {
	return s.retry(ctx, "record how many connections a server bears", func() error {
		_, err := s.pool.Exec(ctx, learnConnections, serverUUID, max(most, 1), holds.Seconds())
		return err
	})
}
