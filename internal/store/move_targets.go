package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// reserveTarget takes over a name reserved for over an hour: a move lasts minutes, and a failed
	// one is retried hourly, starting with the existence check.
	reserveTarget = `
INSERT INTO move_targets AS t (target_sha256, file_uuid) VALUES ($1, $2)
ON CONFLICT (target_sha256) DO UPDATE SET file_uuid = excluded.file_uuid, changed_at = now()
WHERE t.file_uuid IS NULL OR t.file_uuid = excluded.file_uuid OR t.changed_at < now() - interval '1 hour' OR t.changed_at > now() + interval '1 hour'
RETURNING moved_from`

	deleteTarget = `DELETE FROM move_targets WHERE file_uuid = $1 AND target_sha256 = $2 AND moved_from IS NULL`

	releaseTarget = `
UPDATE move_targets SET file_uuid = NULL, moved_from = coalesce(nullif($3::bytea, ''), moved_from), changed_at = now()
WHERE file_uuid = $1 AND target_sha256 = $2`
)

// ReserveTarget reserves a name on a partner's server for the file until ReleaseTarget, or for an
// hour. kept is false if another file holds the reservation. Otherwise movedFrom is the
// original path of the file last moved there, as recorded by ReleaseTarget; empty means none.
func (s *Store) ReserveTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget) (kept bool, movedFrom string, err error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return false, "", err
	}
	err = s.retry(ctx, "reserve a target name for file "+fileUUID, func() error {
		var from []byte
		err := s.pool.QueryRow(ctx, reserveTarget, target[:], id).Scan(&from)
		kept, movedFrom = err == nil, string(from)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return kept, movedFrom, err
}

// ReleaseTarget releases the reservation if the file holds it. A non-empty movedFrom records that
// the file was moved there from that path.
func (s *Store) ReleaseTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget, movedFrom string) error {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return err
	}
	return s.retry(ctx, "release the target name of file "+fileUUID, func() error {
		if movedFrom == "" {
			if done, err := s.pool.Exec(ctx, deleteTarget, id, target[:]); err != nil || done.RowsAffected() > 0 {
				return err
			}
		}
		_, err := s.pool.Exec(ctx, releaseTarget, id, target[:], []byte(movedFrom))
		return err
	})
}
