package client

import (
	"iter"
	"strings"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

// items returns the items of a listing, up to a positive limit, and ends at the first
// error. The function returns a page and the cursor of the next page, nil on the last.
func items[T any](limit int, page func(size int, cursor *string) ([]T, *string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var cursor *string
		for left := limit; ; {
			size := pageSize
			if limit > 0 {
				size = min(size, left)
			}
			found, next, err := page(size, cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range found {
				if !yield(item, nil) {
					return
				}
			}
			if left -= len(found); next == nil || limit > 0 && left <= 0 {
				return
			}
			cursor = next
		}
	}
}

// parseUUID parses the value of a parameter such as scan_uuid. The error has KindInvalid.
func parseUUID(parameter, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, ingest.Errorf(ingest.KindInvalid, "%s %q: use a whole uuid", strings.TrimSuffix(parameter, "_uuid"), ingest.Summary(text))
	}
	return id, nil
}

// orZero returns the value that the pointer holds, or the zero value.
func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}
