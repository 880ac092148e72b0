package api

import (
	"encoding/base64"
	"strconv"
	"strings"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// cursorOf makes and reads the opaque cursors of one listing: what is in them
// is nobody's contract. The name and version in front keep a cursor of another
// listing, or of another release, from being misread.
type cursorOf string

const (
	cursorFiles           cursorOf = "files.1."
	cursorAuditLog        cursorOf = "audit-log.1."
	cursorScans           cursorOf = "scans.1."
	cursorReconciliations cursorOf = "reconciliations.1."
)

// write returns nil on the last page.
func (p cursorOf) write(id int64) *string {
	if id <= 0 {
		return nil
	}
	cursor := base64.RawURLEncoding.EncodeToString([]byte(string(p) + strconv.FormatInt(id, 10)))
	return &cursor
}

// read returns 0 for no cursor.
func (p cursorOf) read(cursor *string) (id int64, err error) {
	if cursor == nil || *cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err == nil {
		number, ok := strings.CutPrefix(string(text), string(p))
		if id, err = strconv.ParseInt(number, 10, 64); ok && err == nil && id > 0 {
			return id, nil
		}
	}
	return 0, invalid("cursor", "cursor: use next_cursor of the page before, unchanged")
}

// invalid says what is wrong with one field.
func invalid(field, message string) error {
	return ingest.Wrap(ingest.KindInvalid, &admin.InvalidError{Fields: []ingest.FieldError{{Field: field, Message: message}}}, "%s", message)
}

// pageLimit returns how many entries a page has; what it may be is checked
// before.
func pageLimit(limit *int) int {
	if limit == nil {
		return admin.DefaultPage
	}
	return *limit
}
