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

// maxFactKey keeps keys well below what fits into an index entry.
const maxFactKey = 500

// cleanText makes text that others wrote acceptable to PostgreSQL, which takes
// no NUL and nothing but UTF-8: one bad byte in a server's message must not
// keep its file from being parked.
func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\x00", string(utf8.RuneError))
}

// cleanKey returns a fact key as it is stored; a very long one by its digest.
func cleanKey(key string) string {
	if key = cleanText(key); len(key) <= maxFactKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// cleanDetails returns details as JSON that jsonb takes: it knows no NUL.
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

// replaceNUL replaces the escape of NUL, and not the end of an escaped
// backslash that happens to be followed by u0000.
func replaceNUL(encoded []byte) []byte {
	const nul, replacement = `\u0000`, `\ufffd`
	for i := 0; i < len(encoded); i++ {
		if encoded[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(encoded[i:], []byte(nul)) {
			copy(encoded[i:], replacement)
		}
		i++ // what is escaped is no backslash of its own
	}
	return encoded
}

// nonNil turns nil into the empty list: to SQL a nil slice is NULL, and
// nothing is ever unequal to NULL.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// nullIfEmpty stores empty bytes as NULL.
func nullIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize returns the limit of a list asked for by a person: 0 means 100.
func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}
