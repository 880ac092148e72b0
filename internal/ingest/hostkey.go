package ingest

import (
	"fmt"
	"strings"
	"time"
)

// expiresMark is the prefix of the expiry date in the comment of a pinned host
// key: "ssh-ed25519 AAAA... expires=2027-01-31".
const expiresMark = "expires="

// HostKeyExpiry returns the time, in UTC, at which a pinned key with the comment
// expires: the end of the named day. It returns the zero time for a key without
// expiry.
func HostKeyExpiry(comment string) (time.Time, error) {
	for word := range strings.FieldsSeq(comment) {
		day, found := strings.CutPrefix(word, expiresMark)
		if !found {
			continue
		}
		last, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return time.Time{}, fmt.Errorf("expires=%s: use a day like expires=2027-01-31", Summary(day))
		}
		return last.AddDate(0, 0, 1), nil
	}
	return time.Time{}, nil
}
