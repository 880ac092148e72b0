package store

import (
	"context"
)

const suspendServer = `UPDATE sftp_servers SET state = 'suspended', last_error = $2 WHERE server_uuid = $1`

// SuspendServer excludes the server from scheduled scans until an operator fixes the cause in
// the message.
func (s *Store) SuspendServer(ctx context.Context, serverUUID, message string) error {
	return s.changeServer(ctx, "suspend server", serverUUID, suspendServer, cleanText(message))
}

const pauseServer = `UPDATE sftp_servers SET is_active = false WHERE server_uuid = $1`

// PauseServer disables scans of the server, including forced ones, and starts of its files.
// Files in flight continue.
func (s *Store) PauseServer(ctx context.Context, serverUUID string) error {
	return s.changeServer(ctx, "pause server", serverUUID, pauseServer)
}

// A resumed server is due immediately: its next scan may be a day away.
const resumeServer = `
UPDATE sftp_servers SET last_scan_at = CASE WHEN state = 'ok' AND is_active THEN last_scan_at END, is_active = true, state = 'ok', last_error = NULL
WHERE server_uuid = $1`

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
