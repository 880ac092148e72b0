package audit

import (
	"context"

	"stevedore/internal/ingest"
)

// pages gives rows one by one and holds one page of them.
type pages struct {
	// fetch returns the page after the last row of the one before; an empty
	// one is the end.
	fetch func(last *Row) ([]Row, error)
	page  []Row
	at    int
	ended bool
}

// peek returns the next row without going on, nil at the end.
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

var errDisorder = ingest.Errorf(ingest.KindInvalid,
	"the object store does not list keys in byte order, as S3 promises: rows and objects cannot be compared")

// merge goes through the rows and a listing of objects, both in byte order of
// keys, and calls row for each row, and extra for each object without one. It
// holds one page of each.
func merge(ctx context.Context, rows *pages, list func(fn func(ingest.Object) error) error,
	row func(Row) error, extra func(ingest.Object) error,
) error {
	last := ""
	err := list(func(o ingest.Object) error {
		if o.Key < last {
			return errDisorder
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

// rowsBefore calls row for each row whose key comes before the given one, nil
// for all, and returns the row it stopped at, nil at the end.
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
