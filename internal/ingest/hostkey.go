package ingest

import (
	"fmt"
	"strings"
	"time"
)

// expiresMark is in the comment of a pinned host key that counts until a day:
// "ssh-ed25519 AAAA... expires=2027-01-31".
const expiresMark = "expires="

// HostKeyExpiry returns the time, in UTC, from which on a pinned key with the
// comment no longer counts: the end of the day it names. The zero time is never.
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
