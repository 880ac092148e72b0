package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// notBegun selects files that no workflow carries: they settle, wait for something or
// for an operator's decision about their times, or for a slot.
const notBegun = `(f.status = 'discovered' OR f.status = 'ready' AND NOT EXISTS (SELECT FROM slots x WHERE x.file_id = f.id))`

// skipNotBegun ends them for an operator: the one with the uuid $2, or all of the
// server $1 where that is null. A raised fence stops who is just putting one off.
const skipNotBegun = `
WITH ended AS (
	UPDATE files f SET status = 'skipped', hold = NULL, waits_for = NULL, error_step = NULL, error_kind = NULL, error_message = NULL,
		fence = fence + 1
	WHERE f.server_uuid = $1 AND ($2::uuid IS NULL OR f.file_uuid = $2::uuid) AND ` + notBegun + `
	RETURNING id, round
), told AS (
	INSERT INTO file_events (file_id, round, event_type, fact_key, details)
	SELECT id, round, 'operator_action', $3, $4::jsonb FROM ended ORDER BY id
	ON CONFLICT DO NOTHING
)
SELECT (SELECT count(*) FROM ended), EXISTS (
	SELECT FROM files f JOIN file_events e ON e.file_id = f.id
	WHERE f.file_uuid = $2::uuid AND e.event_type = 'operator_action' AND e.fact_key = $3)`

// SkipNotBegun ends a file that no workflow carries, for an operator, and reports
// whether it was one.
func (s *Store) SkipNotBegun(ctx context.Context, file ingest.File, by ingest.OperatorAction) (skipped bool, err error) {
	err = s.inTx(ctx, "skip a file that has not begun", func(tx pgx.Tx) error {
		n, before, err := skipIn(ctx, tx, file.ServerUUID, &file.UUID, by)
		skipped = n > 0 || before
		return err
	})
	if err == nil && skipped {
		s.changed(ctx, 1)
	}
	return skipped, err
}

// skipIn runs skipNotBegun; before says that the action was carried out already, by an
// attempt whose answer was lost. No slot is given out meanwhile.
func skipIn(ctx context.Context, tx pgx.Tx, serverUUID string, fileUUID *string, by ingest.OperatorAction) (n int64, before bool, err error) {
	details, err := cleanDetails(by.Details())
	if err != nil {
		return 0, false, err
	}
	if _, err := tx.Exec(ctx, lockDispatch, serverUUID); err != nil {
		return 0, false, err
	}
	err = tx.QueryRow(ctx, skipNotBegun, serverUUID, fileUUID, cleanKey(by.Key), details).Scan(&n, &before)
	return n, before, err
}
