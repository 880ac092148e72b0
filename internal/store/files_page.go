package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// FilesPage returns a page of the files that the filter selects, in its order.
// It looks at a bounded number of files, see ingest.FilePage. A server that does
// not exist is KindMissing.
func (s *Store) FilesPage(ctx context.Context, filter ingest.FileFilter) (page ingest.FilePage, err error) {
	l, err := s.listing(ctx, filter)
	if err != nil || l.none {
		return page, err
	}
	limit := pageSize(filter.Limit)
	err = s.retry(ctx, "list files", func() error {
		// In one snapshot, so that nothing comes between the page and its edge.
		return pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
			page, err = l.fetch(ctx, tx, limit)
			return err
		})
	})
	return page, err
}

var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

func (l *listing) fetch(ctx context.Context, tx pgx.Tx, limit int) (page ingest.FilePage, err error) {
	looks, bounded := l.share(pageLooks), *l
	if len(l.rest) > 0 && !l.few {
		if page.Next, err = bounded.narrow(ctx, tx, looks); err != nil {
			return page, err
		}
	}
	rows, err := tx.Query(ctx, bounded.page(limit+1, looks), planned(bounded.args)...) // one more tells whether another page follows
	if err != nil {
		return page, err
	}
	page.Files, err = pgx.CollectRows(rows, scanFile)
	if len(page.Files) > limit {
		page.Files = page.Files[:limit]
		page.Next = page.Files[limit-1].ID
	}
	return page, err
}

// narrow leaves no more than looks files to each branch, and returns the last id
// there is then; 0 when nothing was cut off.
func (l *listing) narrow(ctx context.Context, tx pgx.Tx, looks int) (int64, error) {
	var edge *int64
	if err := tx.QueryRow(ctx, l.edge(looks), planned(l.args[:l.indexed])...).Scan(&edge); err != nil || edge == nil {
		return 0, err
	}
	l.args = slices.Clone(l.args)
	if l.order == direction(ingest.OrderNewest) {
		l.args[0] = *edge
	} else {
		l.args[1] = *edge
	}
	return *edge, nil
}

// CountUpTo returns how many files the filter selects, whatever its limit,
// counting at most so many and looking at a bounded number.
func (s *Store) CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (count ingest.Count, err error) {
	filter.AfterID = 0
	l, err := s.listing(ctx, filter)
	if err != nil || l.none {
		return count, err
	}
	err = s.retry(ctx, "count files", func() error {
		var fit, looked int64
		looks := l.share(countLooks)
		if err := s.pool.QueryRow(ctx, l.count(int(limit)+1, looks), planned(l.args)...).Scan(&fit, &looked); err != nil {
			return err
		}
		count = ingest.Count{N: min(fit, limit), More: fit > limit || looked == int64(looks) && !l.few}
		return nil
	})
	return count, err
}
