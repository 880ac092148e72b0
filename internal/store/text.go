package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxFactKey keeps keys well below the size limit of an index entry.
const maxFactKey = 500

// cleanText replaces invalid UTF-8 and NUL, which PostgreSQL rejects: a bad byte in a server's
// message must not prevent the recording of a file's failure.
func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\x00", string(utf8.RuneError))
}

// cleanKey returns the stored form of a fact key: the digest of a very long one.
func cleanKey(key string) string {
	if key = cleanText(key); len(key) <= maxFactKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// cleanDetails encodes details as JSON without NUL, which jsonb rejects.
func cleanDetails(details map[string]any) (string, error) {
	if details == nil {
		return "{}", nil
	}
	encoded, err := json.Marshal(details)
	if err != nil {
		return "", fmt.Errorf("encode event details: %w", err)
	}
	return string(replaceNUL(encoded)), nil
}

// replaceNUL replaces escaped NULs, but not an escaped backslash followed by u0000.
func replaceNUL(encoded []byte) []byte {
	const nul, replacement = `\u0000`, `\ufffd`
	for i := 0; i < len(encoded); i++ {
		if encoded[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(encoded[i:], []byte(nul)) {
			copy(encoded[i:], replacement)
		}
		i++ // skip the escaped character
	}
	return encoded
}

// nonNil converts nil to an empty list: a nil slice is NULL in SQL, and comparisons with NULL
// are never true.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// nullIfEmpty converts empty bytes to NULL.
func nullIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// nullIfZero converts a zero value to NULL.
func nullIfZero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize returns the page size for a requested limit: default 100, at most 1000.
func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// before returns the exclusive upper bound of a page's ids; 0 means no bound.
func before(id int64) int64 {
	if id == 0 {
		return lastID
	}
	return id
}
