package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// rejectedRows counts the server's rejected rows, up to the limit $2.
const rejectedRows = `
SELECT count(*) FROM (SELECT FROM files WHERE server_uuid = $1 AND status = 'rejected' LIMIT $2) AS r`

// withinLimit drops entries that would exceed the limit of rejected rows, and returns the
// number dropped: made-up names must not fill the ledger, whose rows are permanent. Files that
// can be ingested are never dropped.
func withinLimit(ctx context.Context, tx pgx.Tx, serverUUID string, most int64, insert []entry) (kept []entry, dropped int64, err error) {
	free := int64(-1) // not read yet
	for _, e := range insert {
		if e.Rejected == "" {
			kept = append(kept, e)
			continue
		}
		if free < 0 {
			var rows int64
			if err := tx.QueryRow(ctx, rejectedRows, serverUUID, most).Scan(&rows); err != nil {
				return nil, 0, err
			}
			free = most - rows
		}
		if free == 0 {
			dropped++
			continue
		}
		free--
		kept = append(kept, e)
	}
	return kept, dropped, nil
}
