package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// FilesPage returns a page of the files that the filter selects, in its order. It examines a
// bounded number of files, see ingest.Page[ingest.File]. An unknown server is KindMissing.
func (s *Store) FilesPage(ctx context.Context, filter ingest.FileFilter) (page ingest.Page[ingest.File], err error) {
	q, err := s.fileQuery(ctx, filter)
	if err != nil || q.empty {
		return page, err
	}
	limit := pageSize(filter.Limit)
	err = s.retry(ctx, "list files", func() error {
		// One snapshot, so that the page and its edge are consistent.
		return pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
			page, err = q.fetch(ctx, tx, limit)
			return err
		})
	})
	return page, err
}

var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

func (q *fileQuery) fetch(ctx context.Context, tx pgx.Tx, limit int) (page ingest.Page[ingest.File], err error) {
	scan, bounded := q.share(pageScan), *q
	if len(q.filters) > 0 && !q.selective {
		if page.Next, err = bounded.narrow(ctx, tx, scan); err != nil {
			return page, err
		}
	}
	rows, err := tx.Query(ctx, bounded.page(limit+1, scan), planned(bounded.args)...) // one extra row shows whether another page follows
	if err != nil {
		return page, err
	}
	page.Items, err = pgx.CollectRows(rows, scanFile)
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].ID
	}
	return page, err
}

// narrow restricts the id range so that each branch examines at most scan files. It returns the
// last id of the range, or 0 when nothing was cut off.
func (q *fileQuery) narrow(ctx context.Context, tx pgx.Tx, scan int) (int64, error) {
	var edge *int64
	if err := tx.QueryRow(ctx, q.edge(scan), planned(q.args[:q.indexed])...).Scan(&edge); err != nil || edge == nil {
		return 0, err
	}
	q.args = slices.Clone(q.args)
	if q.order == direction(ingest.OrderNewest) {
		q.args[0] = *edge
	} else {
		q.args[1] = *edge
	}
	return *edge, nil
}

// CountUpTo returns the number of files that the filter selects, regardless of its limit. It
// counts at most limit files and examines a bounded number.
func (s *Store) CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (count ingest.Count, err error) {
	filter.AfterID = 0
	q, err := s.fileQuery(ctx, filter)
	if err != nil || q.empty {
		return count, err
	}
	err = s.retry(ctx, "count files", func() error {
		var matched, examined int64
		scan := q.share(countScan)
		if err := s.pool.QueryRow(ctx, q.count(int(limit)+1, scan), planned(q.args)...).Scan(&matched, &examined); err != nil {
			return err
		}
		count = ingest.Count{N: min(matched, limit), More: matched > limit || examined == int64(scan) && !q.selective}
		return nil
	})
	return count, err
}
