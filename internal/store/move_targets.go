package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// keepTarget takes over a name that another file has kept for long: a move lasts
	// minutes, and one that failed is tried every hour, from the look on.
	keepTarget = `
INSERT INTO move_targets AS t (target_sha256, file_uuid) VALUES ($1, $2)
ON CONFLICT (target_sha256) DO UPDATE SET file_uuid = excluded.file_uuid, changed_at = now()
WHERE t.file_uuid IS NULL OR t.file_uuid = excluded.file_uuid OR t.changed_at < now() - interval '1 hour' OR t.changed_at > now() + interval '1 hour'
RETURNING moved_from`

	forgetTarget = `DELETE FROM move_targets WHERE file_uuid = $1 AND target_sha256 = $2 AND moved_from IS NULL`

	freeTarget = `
UPDATE move_targets SET file_uuid = NULL, moved_from = coalesce(nullif($3::bytea, ''), moved_from), changed_at = now()
WHERE file_uuid = $1 AND target_sha256 = $2`
)

// KeepTarget keeps a name on a partner's server for the file alone, until FreeTarget
// or for an hour. It reports false when another file has it, and else from which path
// the file came that FreeTarget has recorded there last; empty is none.
func (s *Store) KeepTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget) (kept bool, movedFrom string, err error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return false, "", err
	}
	err = s.retry(ctx, "keep a name for file "+fileUUID, func() error {
		var from []byte
		err := s.pool.QueryRow(ctx, keepTarget, target[:], id).Scan(&from)
		kept, movedFrom = err == nil, string(from)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return kept, movedFrom, err
}

// FreeTarget ends what KeepTarget began, if the file has the name. movedFrom, when not
// empty, records that the file was moved there from that path.
func (s *Store) FreeTarget(ctx context.Context, fileUUID string, target ingest.MoveTarget, movedFrom string) error {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return err
	}
	return s.retry(ctx, "free the name kept for file "+fileUUID, func() error {
		if movedFrom == "" {
			if done, err := s.pool.Exec(ctx, forgetTarget, id, target[:]); err != nil || done.RowsAffected() > 0 {
				return err
			}
		}
		_, err := s.pool.Exec(ctx, freeTarget, id, target[:], []byte(movedFrom))
		return err
	})
}
