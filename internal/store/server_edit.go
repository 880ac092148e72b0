package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const lockedServer = serverByUUID + ` AND s.removed_at IS NULL FOR NO KEY UPDATE`

var updateServer = func() string {
	var set strings.Builder
	for _, column := range serverSettings {
		fmt.Fprintf(&set, "%[1]s = @%[1]s, ", column)
	}
	// A repaired server is due immediately: its next scan may be a day away.
	return "UPDATE sftp_servers SET " + set.String() + `last_error = nullif(@last_error, ''),
	last_scan_at = CASE WHEN state = 'ok' OR @state <> 'ok' THEN last_scan_at END WHERE server_uuid = @server_uuid`
}()

// EditServer replaces the server with the result of edit. edit receives the row under a lock,
// may refuse with an error, and may be called again. Changing host, port, user or credentials
// resets the refused logins; with ingest.WithResealing, the credentials are the same. A server
// whose suspension ends is due for a scan. A taken name is KindConflict.
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
		if _, err := tx.Exec(ctx, updateServer, serverArgs(id, changed)); err != nil {
			return explainTakenName(err, changed.Name)
		}
		if !sameLogin(current, changed, ingest.Resealing(ctx)) {
			if err := restartLogins(ctx, tx, id); err != nil {
				return err
			}
		}
		edited, err = queryOne(ctx, tx, pgx.ErrNoRows, scanServer, serverByUUID, id)
		return err
	})
	return edited, err
}

// sameLogin reports whether refused logins of x also apply to y. If resealed, the credentials
// differ only in their encryption.
func sameLogin(x, y ingest.Server, resealed bool) bool {
	return x.Host == y.Host && x.Port == y.Port && x.Username == y.Username && (resealed ||
		bytes.Equal(x.PasswordEncrypted, y.PasswordEncrypted) && bytes.Equal(x.PrivateKeyEncrypted, y.PrivateKeyEncrypted))
}

func lockServerToEdit(ctx context.Context, tx pgx.Tx, id string) (ingest.Server, error) {
	return queryOne(ctx, tx, errNo("server with uuid", id), scanServer, lockedServer, id)
}

const (
	// lockServerFully blocks inserts of rows that refer to the server.
	lockServerFully = serverByUUID + ` AND s.removed_at IS NULL FOR UPDATE`

	countServerFiles = `
SELECT count(*), count(*) FILTER (WHERE status <> ALL ('{completed,skipped,vanished,superseded,rejected}')), count(*) FILTER (WHERE ` + notStarted + `)
FROM files f WHERE server_uuid = $1`

	deleteServerScans = `DELETE FROM scans WHERE server_uuid = $1`
	deleteServer      = `DELETE FROM sftp_servers WHERE server_uuid = $1`

	// Files still refer to the row, and show its name.
	retireServer = `
UPDATE sftp_servers SET removed_at = now(), is_active = false, password_encrypted = NULL, private_key_encrypted = NULL,
	last_error = NULL, state = 'ok'
WHERE server_uuid = $1`
)

// RemoveServer removes a server if check, which receives it under a lock, returns nil. Files in
// flight or failed make it KindConflict. Files that have not started are skipped if the server
// is paused. A server with files keeps its row without credentials, unlisted, because the
// ledger keeps its history. Removing a missing server is not an error.
func (s *Store) RemoveServer(ctx context.Context, serverUUID string, by ingest.OperatorAction, check func(ingest.Server) error) error {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return err
	}
	var skipped int64
	err = s.inTx(ctx, "remove server", func(tx pgx.Tx) error {
		server, err := queryOne(ctx, tx, pgx.ErrNoRows, scanServer, lockServerFully, id)
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
	var files, open, notStarted int64
	if err := tx.QueryRow(ctx, countServerFiles, server.UUID).Scan(&files, &open, &notStarted); err != nil {
		return err
	}
	statement := retireServer
	switch {
	case open > notStarted:
		return ingest.Errorf(ingest.KindConflict,
			"server %s has %s in flight or failed: pause it, wait for those in flight, and retry or skip the failed ones",
			server.Name, ingest.Counted(open-notStarted, "file", "files"))
	case notStarted > 0:
		return ingest.Errorf(ingest.KindConflict,
			"server %s is not paused and has %s not started: pause it, then remove it to skip them", server.Name, ingest.Counted(notStarted, "file that has", "files that have"))
	case files == 0:
		if _, err := tx.Exec(ctx, deleteServerScans, server.UUID); err != nil {
			return err
		}
		statement = deleteServer
	}
	_, err := tx.Exec(ctx, statement, server.UUID)
	return err
}
