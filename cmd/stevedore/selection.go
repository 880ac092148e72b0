package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/openapi"
)

// selectFlags are the flags that select files.
type selectFlags struct {
	server, path, hash string
	from, to           string
}

// register adds the flags; from and to are the names of those for the time.
func (f *selectFlags) register(a *app, cmd *cobra.Command, from, to string) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "only files of the server with this `NAME` or uuid")
	flags.StringVar(&f.path, "path", "", "only files whose path fits the `GLOB`: '*' within a folder, '**' across, e.g. '**/*.csv'")
	flags.StringVar(&f.from, from, "", "only files first seen at this `TIME` or later: 2026-01-31, 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&f.to, to, "", "only files first seen before this `TIME`")
	flags.StringVar(&f.hash, "hash", "", "only files whose content has this `SHA-256`")
	a.completeServers(cmd, "server")
}

// read returns the selection that the flags describe.
func (f *selectFlags) read(now time.Time) (s openapi.FileSelection, err error) {
	hash := strings.ToLower(f.hash)
	if hash != "" && (len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "") {
		return s, usageError{fmt.Errorf("--hash %q: give a SHA-256 as 64 hex digits", safe(f.hash))}
	}
	from, err := parseTime(f.from, now)
	if err != nil {
		return s, err
	}
	to, err := parseTime(f.to, now)
	return openapi.FileSelection{Server: given(f.server), Path: given(f.path), Hash: given(hash), From: given(from), To: given(to)}, err
}

// given returns nil for the zero value: the flag was not given.
func given[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// value returns what the pointer holds; nil holds the zero value.
func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}

// parseTime reads a date, a time, or how long ago.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	ago, err := parseDays(text)
	if err != nil {
		return time.Time{}, usageError{fmt.Errorf("%q is not a time: use 2026-01-31, 2026-01-31T12:00:00Z, or 24h or 7d for that long ago", safe(text))}
	}
	return now.Add(-ago).UTC(), nil
}

// empty reports whether no flag selects anything.
func (f *selectFlags) empty() bool {
	return f.server == "" && f.path == "" && f.hash == "" && f.from == "" && f.to == ""
}
