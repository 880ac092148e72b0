package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/internal/ingest"
)

// selectFlags are the flags that select files.
type selectFlags struct {
	filter   ingest.FileFilter
	from, to string
}

// register adds the flags; from and to are the names of those for the time.
func (f *selectFlags) register(a *app, cmd *cobra.Command, from, to string) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Server, "server", "", "only files of the server with this `NAME` or uuid")
	flags.StringVar(&f.filter.Path, "path", "", "only files whose path fits the `GLOB`: '*' within a folder, '**' across, e.g. '**/*.csv'")
	flags.StringVar(&f.from, from, "", "only files first seen at this `TIME` or later: 2026-01-31, 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&f.to, to, "", "only files first seen before this `TIME`")
	flags.StringVar(&f.filter.Hash, "hash", "", "only files whose content has this `SHA-256`")
	a.completeServers(cmd, "server")
}

// read returns the filter that the flags make.
func (f *selectFlags) read(now time.Time) (filter ingest.FileFilter, err error) {
	filter = f.filter
	filter.Hash = strings.ToLower(filter.Hash)
	if filter.Hash != "" && (len(filter.Hash) != 64 || strings.Trim(filter.Hash, "0123456789abcdef") != "") {
		return filter, usageError{fmt.Errorf("--hash %q: give a SHA-256 as 64 hex digits", safe(filter.Hash))}
	}
	if filter.From, err = parseTime(f.from, now); err != nil {
		return filter, err
	}
	filter.To, err = parseTime(f.to, now)
	return filter, err
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
	return f.filter.Server == "" && f.filter.Path == "" && f.filter.Hash == "" && f.from == "" && f.to == ""
}
