package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// A resumed or repaired server is due immediately: its next scan may be a day away.
const dueIfRepaired = `last_scan_at = CASE WHEN state = 'ok' AND is_active THEN last_scan_at END`

// Pinning keys ends a suspension for a host key mismatch.
const setHostKeys = `
UPDATE sftp_servers SET host_keys = $2, password_encrypted = $3, private_key_encrypted = $4, ` + dueIfRepaired + `,
	state = 'ok', last_error = CASE WHEN state = 'ok' THEN last_error END
WHERE server_uuid = $1`

// SetHostKeys replaces the pinned keys, and the credentials sealed with them, with the result
// of pin. pin receives the row under a lock and may be called again. A suspended server is
// scanned again.
func (s *Store) SetHostKeys(ctx context.Context, serverUUID string, pin func(ingest.Server) (ingest.Server, error)) error {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "pin host keys", func(tx pgx.Tx) error {
		current, err := lockServerToEdit(ctx, tx, id)
		if err != nil {
			return err
		}
		pinned, err := pin(current)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, setHostKeys, id, nonNil(pinned.HostKeys), nullIfEmpty(pinned.PasswordEncrypted), nullIfEmpty(pinned.PrivateKeyEncrypted))
		return err
	})
}

const setCredentials = `
WITH forgotten AS (DELETE FROM server_logins WHERE server_uuid = $1)
UPDATE sftp_servers SET password_encrypted = $2, private_key_encrypted = $3,
	` + dueIfRepaired + `, state = 'ok', last_error = CASE WHEN state = 'ok' THEN last_error END
WHERE server_uuid = $1`

// SetCredentials replaces the sealed credentials; empty ones are removed. A suspended server is
// scanned again.
func (s *Store) SetCredentials(ctx context.Context, serverUUID string, password, privateKey []byte) error {
	return s.changeServer(ctx, "set credentials", serverUUID, setCredentials, nullIfEmpty(password), nullIfEmpty(privateKey))
}

const suspendServer = `UPDATE sftp_servers SET state = 'suspended', last_error = $2 WHERE server_uuid = $1`

// SuspendServer excludes the server from scheduled scans until an operator fixes the cause in
// the message.
func (s *Store) SuspendServer(ctx context.Context, serverUUID, message string) error {
	return s.changeServer(ctx, "suspend server", serverUUID, suspendServer, cleanText(message))
}

const pauseServer = `UPDATE sftp_servers SET is_active = false WHERE server_uuid = $1`

// PauseServer disables scans of the server, including forced ones. Discovered files continue.
func (s *Store) PauseServer(ctx context.Context, serverUUID string) error {
	return s.changeServer(ctx, "pause server", serverUUID, pauseServer)
}

const resumeServer = `UPDATE sftp_servers SET ` + dueIfRepaired + `, is_active = true, state = 'ok', last_error = NULL WHERE server_uuid = $1`

// ResumeServer enables scans of the server and ends a suspension.
func (s *Store) ResumeServer(ctx context.Context, serverUUID string) error {
	return s.changeServer(ctx, "resume server", serverUUID, resumeServer)
}

func (s *Store) changeServer(ctx context.Context, op, serverUUID, statement string, args ...any) error {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return err
	}
	return s.retry(ctx, op, func() error {
		tag, err := s.pool.Exec(ctx, statement, append([]any{id}, args...)...)
		if err == nil && tag.RowsAffected() == 0 {
			return errNo("server with uuid", id)
		}
		return err
	})
}
