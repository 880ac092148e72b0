package ingest

import (
	"fmt"
	"strings"
	"time"
)

// expiresMark is the prefix of the expiry date in the comment of a pinned host
// key: "ssh-ed25519 AAAA... expires=2027-01-31".
const expiresMark = "expires="

// HostKeyExpiryText returns the word of a pinned key, or of its comment, that has the
// expiry, such as "expires=2027-01-31"; empty for a key without expiry.
func HostKeyExpiryText(line string) string {
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, expiresMark) {
			return word
		}
	}
	return ""
}

// HostKeyExpiry returns the time, in UTC, at which a pinned key with the comment
// expires: the end of the named day. It returns the zero time for a key without
// expiry.
func HostKeyExpiry(comment string) (time.Time, error) {
	text := HostKeyExpiryText(comment)
	if text == "" {
		return time.Time{}, nil
	}
	last, err := time.Parse(expiresMark+time.DateOnly, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: use a day like expires=2027-01-31", Summary(text))
	}
	return last.AddDate(0, 0, 1), nil
}
