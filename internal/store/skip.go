package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// notStarted selects files without a workflow: they settle, wait for a condition or an operator
// action on held changes, or wait for a slot.
const notStarted = `(f.status = 'discovered' OR f.status = 'ready' AND NOT EXISTS (SELECT FROM slots x WHERE x.file_id = f.id))`

// skipNotStarted skips the file with uuid $2, or all of server $1 if $2 is null. Raising the
// fence stops a writer that is deferring the file.
const skipNotStarted = `
WITH ended AS (
	UPDATE files f SET status = 'skipped', hold = NULL, waits_for = NULL, error_step = NULL, error_kind = NULL, error_message = NULL,
		fence = fence + 1
	WHERE f.server_uuid = $1 AND ($2::uuid IS NULL OR f.file_uuid = $2::uuid) AND ` + notStarted + `
	RETURNING id, round
), recorded AS (
	INSERT INTO file_events (file_id, round, event_type, fact_key, details)
	SELECT id, round, 'operator_action', $3, $4::jsonb FROM ended ORDER BY id
	ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM ended), EXISTS (
	SELECT FROM files f JOIN file_events e ON e.file_id = f.id
	WHERE f.file_uuid = $2::uuid AND e.event_type = 'operator_action' AND e.fact_key = $3)`

// SkipNotStarted skips a file that has no workflow, for an operator, and reports whether it did.
func (s *Store) SkipNotStarted(ctx context.Context, file ingest.File, by ingest.OperatorAction) (skipped bool, err error) {
	err = s.inTx(ctx, "skip a file that has not started", func(tx pgx.Tx) error {
		n, before, err := skipIn(ctx, tx, file.ServerUUID, &file.UUID, by)
		skipped = n > 0 || before
		return err
	})
	if err == nil && skipped {
		s.changed(ctx, 1)
	}
	return skipped, err
}

// skipIn runs skipNotStarted. before reports that the action was recorded earlier, by an
// attempt whose response was lost. The dispatch lock prevents reservations meanwhile.
func skipIn(ctx context.Context, tx pgx.Tx, serverUUID string, fileUUID *string, by ingest.OperatorAction) (n int64, before bool, err error) {
	details, err := cleanDetails(by.Details())
	if err != nil {
		return 0, false, err
	}
	if _, err := tx.Exec(ctx, lockDispatch, serverUUID); err != nil {
		return 0, false, err
	}
	err = tx.QueryRow(ctx, skipNotStarted, serverUUID, fileUUID, cleanKey(by.Key), details).Scan(&n, &before)
	return n, before, err
}
