package store

import (
	"bytes"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	lockedServer = serverByUUID + ` AND s.removed_at IS NULL FOR NO KEY UPDATE`

	updateServer = `
UPDATE sftp_servers SET name = $2, host = $3, port = $4, username = $5, password_encrypted = $6, private_key_encrypted = $7,
	host_keys = $8, root_path = $9, include_globs = $10, exclude_globs = $11, max_parallel = $12, settle = $13, scan_interval = $14,
	after_ingest = $15, is_active = $16, state = $17, on_collision = $18, min_age = $19, done_marker = $20, sidecar_wait = $21,
	max_depth = $22, read_once = $23, legacy_algorithms = $24, transfer = $25, options = $26, last_error = nullif($27, '')
WHERE server_uuid = $1`
)

// EditServer changes the server with the uuid to what edit makes of it; edit
// sees the row under a lock, may refuse with an error, and may be called again.
// Changed credentials, host, port or user forget refused log-ins, unless ctx is
// ingest.WithResealing.
// A taken name is KindConflict.
func (s *Store) EditServer(ctx context.Context, serverUUID string, edit func(ingest.Server) (ingest.Server, error)) (edited ingest.Server, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return ingest.Server{}, err
	}
	err = s.inTx(ctx, "edit server", func(tx pgx.Tx) error {
		current, err := lockServerToEdit(ctx, tx, id)
		if err != nil {
			return err
		}
		changed, err := edit(current)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateServer, append(serverArgs(id, changed), cleanText(changed.LastError))...); err != nil {
			return explainTakenName(err, changed.Name)
		}
		if !ingest.Resealing(ctx) && !sameLogin(current, changed) {
			if _, err := tx.Exec(ctx, forgetLogins, id); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, serverByUUID, id)
		if err != nil {
			return err
		}
		edited, err = pgx.CollectExactlyOneRow(rows, scanServer)
		return err
	})
	return edited, err
}

// sameLogin reports whether the change leaves all that a refused log-in was about.
func sameLogin(x, y ingest.Server) bool {
	return x.Host == y.Host && x.Port == y.Port && x.Username == y.Username &&
		bytes.Equal(x.PasswordEncrypted, y.PasswordEncrypted) && bytes.Equal(x.PrivateKeyEncrypted, y.PrivateKeyEncrypted)
}

func lockServerToEdit(ctx context.Context, tx pgx.Tx, id string) (ingest.Server, error) {
	rows, err := tx.Query(ctx, lockedServer, id)
	if err != nil {
		return ingest.Server{}, err
	}
	server, err := pgx.CollectExactlyOneRow(rows, scanServer)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNo("server with uuid", id)
	}
	return server, err
}

const (
	// lockServerFully keeps out rows that would refer to the server.
	lockServerFully = serverByUUID + ` AND s.removed_at IS NULL FOR UPDATE`

	countServerFiles = `
SELECT count(*), count(*) FILTER (WHERE status <> ALL ('{completed,skipped,vanished,superseded,rejected}')), count(*) FILTER (WHERE ` + notBegun + `)
FROM files f WHERE server_uuid = $1`

	deleteServerScans = `DELETE FROM scans WHERE server_uuid = $1`
	deleteServer      = `DELETE FROM sftp_servers WHERE server_uuid = $1`

	// The name becomes free; the row stays for the sake of its files.
	retireServer = `
UPDATE sftp_servers SET removed_at = now(), is_active = false, password_encrypted = NULL, private_key_encrypted = NULL,
	last_error = NULL, state = 'ok', name = left(name, 45) || '.removed-' || left(server_uuid::text, 8)
WHERE server_uuid = $1`
)

// RemoveServer removes a server if check, which sees it under a lock, agrees.
// Files that are on their way, or wait for an operator, make it KindConflict. Those
// that have not begun are skipped for the operator if the server is paused.
// The ledger keeps what it has recorded: a server that showed files stays as a
// row without credentials, under another name, that nobody lists. Removing a
// server that is gone is no error.
func (s *Store) RemoveServer(ctx context.Context, serverUUID string, by ingest.OperatorAction, check func(ingest.Server) error) error {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return err
	}
	var skipped int64
	err = s.inTx(ctx, "remove server", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, lockServerFully, id)
		if err != nil {
			return err
		}
		server, err := pgx.CollectExactlyOneRow(rows, scanServer)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := check(server); err != nil {
			return err
		}
		if !server.Active {
			if skipped, _, err = skipIn(ctx, tx, id, nil, by); err != nil {
				return err
			}
		}
		return removeServer(ctx, tx, server)
	})
	if err == nil && skipped > 0 {
		s.changed(ctx, skipped)
	}
	return err
}

func removeServer(ctx context.Context, tx pgx.Tx, server ingest.Server) error {
	var files, open, notBegun int64
	if err := tx.QueryRow(ctx, countServerFiles, server.UUID).Scan(&files, &open, &notBegun); err != nil {
		return err
	}
	statement := retireServer
	switch {
	case open > notBegun:
		return ingest.Errorf(ingest.KindConflict,
			"server %s has %d file(s) on their way or waiting for an operator: pause it, let those on their way end, and retry or skip those in error",
			server.Name, open-notBegun)
	case notBegun > 0:
		return ingest.Errorf(ingest.KindConflict,
			"server %s is not paused and has %d file(s) that have not begun: pause it, and they are skipped with its removal", server.Name, notBegun)
	case files == 0:
		if _, err := tx.Exec(ctx, deleteServerScans, server.UUID); err != nil {
			return err
		}
		statement = deleteServer
	}
	_, err := tx.Exec(ctx, statement, server.UUID)
	return err
}
