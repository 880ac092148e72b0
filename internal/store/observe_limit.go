package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// rejectedRows counts the server's rejected rows, as far as it matters.
const rejectedRows = `
SELECT count(*) FROM (SELECT FROM files WHERE server_uuid = $1 AND status = 'rejected' LIMIT $2) AS r`

// withinLimit leaves out those entries that would be one rejected row too many, and
// returns how many these are: made-up names must not fill the ledger, whose rows
// stay. Files that can be taken are never left out.
func withinLimit(ctx context.Context, tx pgx.Tx, serverUUID string, most int64, insert []entry) (kept []entry, dropped int64, err error) {
	left := int64(-1) // not asked yet
	for _, e := range insert {
		if e.Rejected == "" {
			kept = append(kept, e)
			continue
		}
		if left < 0 {
			var there int64
			if err := tx.QueryRow(ctx, rejectedRows, serverUUID, most).Scan(&there); err != nil {
				return nil, 0, err
			}
			left = most - there
		}
		if left == 0 {
			dropped++
			continue
		}
		left--
		kept = append(kept, e)
	}
	return kept, dropped, nil
}
