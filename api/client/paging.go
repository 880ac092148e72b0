package client

import (
	"context"
	"iter"
	"time"

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

// wait calls get until it reports that nothing runs, and progress with each value until
// then. With an error it still returns the last value.
func wait[T any](ctx context.Context, interval time.Duration, get func() (value T, running bool, err error), progress func(T)) (last T, _ error) {
	for {
		value, running, err := get()
		if err != nil {
			return last, err
		}
		if last = value; !running {
			return last, nil
		}
		progress(value)
		if err := sleep(ctx, interval); err != nil {
			return last, err
		}
	}
}

// parseUUID returns an error of KindInvalid that names the thing.
func parseUUID(thing, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, ingest.Errorf(ingest.KindInvalid, "%s %q: use a whole uuid", thing, ingest.Summary(text))
	}
	return id, nil
}

// given returns a pointer to the text, and nil for an empty one.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// orZero returns the value that the pointer holds, or the zero value.
func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}
