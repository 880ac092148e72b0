package api

import (
	"encoding/base64"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
)

// cursorPrefix lets the form of cursors change without old ones being misread.
const cursorPrefix = "files.1."

// encodeCursor makes an opaque cursor: what is in it is nobody's contract.
func encodeCursor(afterID int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + strconv.FormatInt(afterID, 10)))
}

func decodeCursor(cursor string) (afterID int64, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		number, ok := strings.CutPrefix(string(text), cursorPrefix)
		if afterID, err = strconv.ParseInt(number, 10, 64); ok && err == nil && afterID > 0 {
			return afterID, nil
		}
	}
	return 0, ingest.Errorf(ingest.KindInvalid, "cursor: use next_cursor of the page before, unchanged")
}
