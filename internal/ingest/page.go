package ingest

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	// Next is the position of the next page; 0 on the last page. A page with a Next may
	// hold fewer items than were asked for, even none: a list of files stops looking for
	// files that match a path or a time once it has read many that do not.
	Next int64
}

// PageOf returns the items as a page. A full page has a next one, at the position of its
// last item.
func PageOf[T any](items []T, limit int, position func(T) int64) Page[T] {
	page := Page[T]{Items: items}
	if len(items) == limit && limit > 0 {
		page.Next = position(items[limit-1])
	}
	return page
}
