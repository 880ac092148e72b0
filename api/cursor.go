package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// cursorOf encodes and decodes the opaque cursors of one listing. It is the prefix of each
// cursor: name and version, so that cursors of another listing or release are refused.
type cursorOf string

const (
	cursorFiles           cursorOf = "files.1."
	cursorNewestFiles     cursorOf = "files-newest.1."
	cursorEvents          cursorOf = "events.1."
	cursorAuditLog        cursorOf = "audit-log.1."
	cursorScans           cursorOf = "scans.1."
	cursorReconciliations cursorOf = "reconciliations.1."
	cursorAudits          cursorOf = "audits.1."
	cursorDiscrepancies   cursorOf = "differences.1."
)

// write returns the cursor after the id, or nil on the last page.
func (p cursorOf) write(id int64) *string {
	if id <= 0 {
		return nil
	}
	cursor := base64.RawURLEncoding.EncodeToString([]byte(string(p) + strconv.FormatInt(id, 10)))
	return &cursor
}

// read returns the id in the cursor; 0 without a cursor.
func (p cursorOf) read(cursor *string) (id int64, err error) {
	if cursor == nil || *cursor == "" {
		return 0, nil
	}
	if id, ok := p.decode(*cursor); ok {
		return id, nil
	}
	return 0, invalid("cursor", "cursor: use next_cursor of the previous page, unchanged")
}

func (p cursorOf) decode(cursor string) (id int64, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	number, ok := strings.CutPrefix(string(text), string(p))
	id, err = strconv.ParseInt(number, 10, 64)
	return id, ok && err == nil && id > 0
}

// filesCursor returns the cursor type of file listings in the order, and that of the
// reverse order.
func filesCursor(order ingest.FileOrder) (own, other cursorOf, otherOrder ingest.FileOrder) {
	if order == ingest.OrderNewest {
		return cursorNewestFiles, cursorFiles, ingest.OrderOldest
	}
	return cursorFiles, cursorNewestFiles, ingest.OrderNewest
}

// readFilesCursor returns the id in the cursor. Cursors of the other order and damaged ones
// have different errors.
func readFilesCursor(order ingest.FileOrder, cursor *string) (id int64, err error) {
	own, other, otherOrder := filesCursor(order)
	if cursor != nil {
		if _, ok := other.decode(*cursor); ok {
			return 0, invalid("cursor", fmt.Sprintf("cursor: it belongs to order=%s: use it with that order, or start without a cursor", otherOrder))
		}
	}
	return own.read(cursor)
}

// readPage reads the page at the cursor, which is of the given type, and returns its items
// converted and the cursor of the next page.
func readPage[T, U any](ctx context.Context, cursors cursorOf, cursor *string, limit *int, convert func(T) U,
	read func(ctx context.Context, at int64, limit int) (ingest.Page[T], error),
) (items []U, next *string, err error) {
	at, err := cursors.read(cursor)
	if err != nil {
		return nil, nil, err
	}
	page, err := read(ctx, at, pageLimit(limit))
	return openapi.List(page.Items, convert), cursors.write(page.Next), err
}

// invalid returns the error for an invalid field.
func invalid(field, message string) error {
	return ingest.FieldErrors{{Field: field, Message: message}}.Err(message)
}

// pageLimit returns the page size; the checker has verified its range.
func pageLimit(limit *int) int {
	if limit == nil {
		return operations.DefaultPage
	}
	return *limit
}
