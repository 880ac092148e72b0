package audit

import (
	"context"

	"stevedore/internal/ingest"
)

// pages iterates over rows and holds one page of them.
type pages struct {
	// fetch returns the page after the last row of the previous page; nil before the
	// first. An empty page is the end.
	fetch func(last *Row) ([]Row, error)
	page  []Row
	at    int
	ended bool
}

// peek returns the next row without advancing; nil at the end.
func (p *pages) peek() (*Row, error) {
	if p.at < len(p.page) {
		return &p.page[p.at], nil
	}
	if p.ended {
		return nil, nil
	}
	var last *Row
	if len(p.page) > 0 {
		last = &p.page[len(p.page)-1]
	}
	page, err := p.fetch(last)
	if err != nil {
		return nil, err
	}
	p.page, p.at, p.ended = page, 0, len(page) == 0
	if p.ended {
		return nil, nil
	}
	return &p.page[0], nil
}

func (p *pages) advance() { p.at++ }

var errUnsorted = ingest.Errorf(ingest.KindInvalid,
	"the object store does not list keys in byte order, as S3 requires: rows and objects cannot be compared")

// merge iterates over the rows and a list of objects, both in byte order of keys. It
// calls row for each row, and extra for each object without one. It holds one page of
// rows.
func merge(ctx context.Context, rows *pages, list func(fn func(ingest.Object) error) error,
	row func(Row) error, extra func(ingest.Object) error,
) error {
	last := ""
	err := list(func(o ingest.Object) error {
		if o.Key < last {
			return errUnsorted
		}
		last = o.Key
		next, err := rowsBefore(ctx, rows, &o.Key, row)
		switch {
		case err != nil:
			return err
		case next == nil || next.File.ObjectKey != o.Key:
			return extra(o)
		default:
			return nil
		}
	})
	if err != nil {
		return err
	}
	_, err = rowsBefore(ctx, rows, nil, row)
	return err
}

// rowsBefore calls row for each row whose key is before the given one; nil means all. It
// returns the first row that is not; nil at the end.
func rowsBefore(ctx context.Context, rows *pages, key *string, row func(Row) error) (*Row, error) {
	for {
		next, err := rows.peek()
		if err != nil || next == nil || key != nil && next.File.ObjectKey >= *key {
			return next, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := row(*next); err != nil {
			return nil, err
		}
		rows.advance()
	}
}
