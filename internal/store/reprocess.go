package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// notified_hash keeps the hash: with it a missing source is an error, not a vanished file. The
	// object's location is cleared, as the bucket may have changed.
	reprocessFile = `
UPDATE files SET status = 'ready', round = round + 1, fence = fence + 1, notified_hash = coalesce(notified_hash, file_hash),
	minio_bucket = NULL, minio_object_key = NULL, minio_etag = NULL, object_checksum = NULL, transfer_mode = NULL, staged_on = NULL,
	completed_at = NULL, source_left = NULL, source_left_at = NULL, source_gone_at = NULL, resent_count = 0, resent_at = NULL,
	not_before = NULL, deferrals = 0, error_step = NULL, error_kind = NULL, error_message = NULL
WHERE file_uuid = $1 AND status = 'completed' RETURNING id, round`

	reprocessEvent = `
INSERT INTO file_events (file_id, round, event_type, fact_key, details) VALUES ($1, $2, $3, $4, $5::jsonb)`

	reprocessed = `
SELECT EXISTS (SELECT FROM files f JOIN file_events e ON e.file_id = f.id
	WHERE f.file_uuid = $1 AND e.event_type = $2 AND e.fact_key = $3)`
)

// Reprocess makes a completed file ready again, in a new round whose first event is the
// operator action. It returns KindConflict if the file is not completed. It is idempotent by
// the key of the action.
func (s *Store) Reprocess(ctx context.Context, fileUUID string, action ingest.OperatorAction) error {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return err
	}
	events, err := newFacts([]ingest.Event{ingest.Reprocessed(action)})
	if err != nil {
		return ingest.Wrap(ingest.KindInvalid, err, "reprocess file %s", id)
	}
	var changed bool
	err = s.inTx(ctx, "reprocess a file", func(tx pgx.Tx) error {
		changed = false
		var done bool
		if err := tx.QueryRow(ctx, reprocessed, id, events.types[0], events.keys[0]).Scan(&done); err != nil || done {
			return err
		}
		rows, err := tx.Query(ctx, reprocessFile, id)
		if err != nil {
			return err
		}
		var fileID int64
		var round int
		tag, err := pgx.ForEachRow(rows, []any{&fileID, &round}, func() error { return nil })
		if err != nil {
			return err
		}
		if changed = tag.RowsAffected() == 1; !changed {
			return ingest.Errorf(ingest.KindConflict, "file %s is not completed: only a completed file can be reprocessed", id)
		}
		_, err = tx.Exec(ctx, reprocessEvent, fileID, round, events.types[0], events.keys[0], events.details[0])
		return err
	})
	if err == nil && changed {
		s.changed(ctx, 1)
	}
	return err
}
