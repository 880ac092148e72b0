package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// expireConnections deletes the connections of killed processes.
	expireConnections = `DELETE FROM server_connections WHERE server_uuid = $1 AND confirmed < now() - interval '2 minutes'`

	connectionHolders = `
SELECT holder || ' since ' || to_char(began AT TIME ZONE 'UTC', 'HH24:MI:SS"Z"') FROM server_connections WHERE server_uuid = $1 ORDER BY began`

	openConnection = `INSERT INTO server_connections (connection_uuid, server_uuid, holder) VALUES ($1, $2, $3)`

	// confirmConnection also restores a connection that was expired.
	confirmConnection = `
INSERT INTO server_connections (connection_uuid, server_uuid, holder) SELECT $1, server_uuid, $3 FROM sftp_servers WHERE server_uuid = $2
ON CONFLICT (connection_uuid) DO UPDATE SET confirmed = now()`

	// clearLimit clears an expired limit once more connections than the limit are open.
	clearLimit = `
UPDATE sftp_servers s SET connection_limit = NULL, connection_limit_until = NULL, connection_limit_tries = 0
WHERE server_uuid = $1 AND connection_limit_until < now()
	AND connection_limit < (SELECT count(*) FROM server_connections c WHERE c.server_uuid = s.server_uuid)`

	closeConnection = `DELETE FROM server_connections WHERE connection_uuid = $1`

	// setConnectionLimit counts a probe once, even when several processes make it.
	setConnectionLimit = `
UPDATE sftp_servers SET
	connection_limit = CASE WHEN connection_limit_until > now() THEN least(connection_limit, $2::int) ELSE $2 END,
	connection_limit_tries = CASE WHEN connection_limit_until > now() THEN connection_limit_tries ELSE connection_limit_tries + 1 END,
	connection_limit_until = greatest(connection_limit_until, now() + least(make_interval(secs => $3) * CASE
		WHEN connection_limit_until > now() THEN 1 ELSE 2 ^ least(connection_limit_tries, 16) END, interval '24 hours'))
WHERE server_uuid = $1`
)

// OpenConnection records a connection of the process holder to the server before it is opened.
// If most connections are recorded already, it returns an empty id and their holders, for
// display; most 0 means no bound. The connection must be confirmed every minute and closed at
// its end.
func (s *Store) OpenConnection(ctx context.Context, server ingest.Server, holder string, most int) (id string, holders []string, err error) {
	err = s.inTx(ctx, "record a connection", func(tx pgx.Tx) error {
		id, holders = "", nil
		// The lock serializes the counting of a server's connections.
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

// RenewConnection records that the connection is still open. If it exceeds an expired learned
// limit, it clears that limit, because the server accepts more.
func (s *Store) RenewConnection(ctx context.Context, server ingest.Server, holder, id string) error {
	return s.inTx(ctx, "confirm a connection", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, confirmConnection, id, server.UUID, cleanText(holder)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, clearLimit, server.UUID)
		return err
	})
}

// CloseConnection deletes the connection.
func (s *Store) CloseConnection(ctx context.Context, id string) error {
	return s.exec(ctx, "delete a connection", closeConnection, id)
}

// RecordConnectionLimit records that the server accepts at most limit connections. The limit is
// valid for the duration validFor, doubled with each refused probe, up to 24 hours.
func (s *Store) RecordConnectionLimit(ctx context.Context, serverUUID string, limit int, validFor time.Duration) error {
	return s.exec(ctx, "record the connection limit", setConnectionLimit, serverUUID, max(limit, 1), validFor.Seconds())
}
