package main

import (
	"slices"

	"stevedore/internal/ingest"
)

// The codes have one length, so that they move no column.
const (
	plain  = "\x1b[39m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// coloured reports whether stdout takes colours: it is a terminal, and nobody
// asked for none, see https://no-color.org.
func (a *app) coloured() bool {
	if !a.screen {
		return false
	}
	for _, variable := range a.environ {
		if len(variable) > len("NO_COLOR=") && variable[:len("NO_COLOR=")] == "NO_COLOR=" || variable == "TERM=dumb" {
			return false
		}
	}
	return true
}

// paint colours a word that says how something stands; the word stays.
func paint(word string) string {
	colour := plain
	switch {
	case slices.Contains([]string{string(ingest.StatusError), string(ingest.StatusRejected), string(ingest.ServerSuspended), "revoked"}, word):
		colour = red
	case slices.Contains([]string{string(ingest.StatusCompleted), string(ingest.ServerOK), "valid"}, word):
		colour = green
	case slices.Contains([]string{"paused", "expired", string(ingest.StatusSkipped), string(ingest.StatusVanished)}, word):
		colour = yellow
	}
	return colour + word + reset
}
