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
	expireConnections = `DELETE FROM server_connections WHERE server_uuid = $1 AND confirmed < now() - make_interval(secs => $2)`

	// connectionHolders marks an overdue connection, because its process may have been killed.
	connectionHolders = `
SELECT holder || ' since ' || to_char(began AT TIME ZONE 'UTC', 'HH24:MI:SS"Z"') || CASE WHEN confirmed < now() - make_interval(secs => $3)
	THEN ', may be gone: freed at ' || to_char((confirmed + make_interval(secs => $2)) AT TIME ZONE 'UTC', 'HH24:MI:SS"Z"') ELSE '' END
FROM server_connections WHERE server_uuid = $1 ORDER BY began`

	openConnection = `INSERT INTO server_connections (connection_uuid, server_uuid, holder) VALUES ($1, $2, $3)`

	// renewConnections also clears an expired limit once more connections than the limit are open.
	renewConnections = `
WITH renewed AS (UPDATE server_connections SET confirmed = now() WHERE connection_uuid = ANY($1) RETURNING connection_uuid, server_uuid),
	cleared AS (
UPDATE sftp_servers s SET connection_limit = NULL, connection_limit_until = NULL, connection_limit_tries = 0
WHERE connection_limit_until < now() AND server_uuid IN (SELECT server_uuid FROM renewed)
	AND connection_limit < (SELECT count(*) FROM server_connections c WHERE c.server_uuid = s.server_uuid))
SELECT r.connection_uuid::text, CASE WHEN s.connection_limit_until > now() THEN s.connection_limit ELSE 0 END
FROM renewed r JOIN sftp_servers s USING (server_uuid)`

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
// display; most 0 means no bound. The connection must be renewed within ingest.ConnectionExpiry
// and closed at its end.
func (s *Store) OpenConnection(ctx context.Context, server ingest.Server, holder string, most int) (id string, holders []string, err error) {
	err = s.inTx(ctx, "record a connection", func(tx pgx.Tx) error {
		id, holders = "", nil
		// The lock serializes the counting of a server's connections.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('server_connections ' || $1, 0))`, server.UUID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, expireConnections, server.UUID, ingest.ConnectionExpiry.Seconds()); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, connectionHolders, server.UUID, ingest.ConnectionExpiry.Seconds(), ingest.ConnectionOverdue.Seconds())
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

// RenewConnections records that the connections are still open. It returns their ids with the
// learned limit of their server, 0 for none; expired ones are omitted. A server with more connections than its expired learned limit loses that
// limit, because it accepts more.
func (s *Store) RenewConnections(ctx context.Context, ids []string) (limits map[string]int, err error) {
	err = s.retry(ctx, "renew connections", func() error {
		limits = make(map[string]int, len(ids))
		rows, err := s.pool.Query(ctx, renewConnections, ids)
		if err != nil {
			return err
		}
		var id string
		var limit int
		_, err = pgx.ForEachRow(rows, []any{&id, &limit}, func() error {
			limits[id] = limit
			return nil
		})
		return err
	})
	return limits, err
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
