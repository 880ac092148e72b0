package ingest

import (
	"fmt"
	"slices"
)

// Status says where one file version stands. The zero value is no status.
type Status string

// The states of a file. The way through runs from StatusDiscovered to
// StatusCompleted; the others stand beside it and say why a file is not on it.
const (
	// StatusDiscovered: seen on the server, not yet known to be whole.
	StatusDiscovered Status = "discovered"
	// StatusReady: unchanged for the settle time, waiting for its turn.
	StatusReady Status = "ready"
	// StatusDownloading: bytes are being read into a worker's staging folder.
	StatusDownloading Status = "downloading"
	// StatusDownloaded: all bytes are in staging and synced to disk.
	StatusDownloaded Status = "downloaded"
	// StatusVerified: size and hash of the staged bytes are proven.
	StatusVerified Status = "verified"
	// StatusUploading: bytes are being written to the object store.
	StatusUploading Status = "uploading"
	// StatusUploaded: the object is complete and its size and hash are proven.
	StatusUploaded Status = "uploaded"
	// StatusCompleted: the broker has confirmed the announcement.
	StatusCompleted Status = "completed"
	// StatusError: parked; an operator must retry or skip it.
	StatusError Status = "error"
	// StatusSkipped: an operator decided not to take it.
	StatusSkipped Status = "skipped"
	// StatusVanished: gone from the server before it was taken.
	StatusVanished Status = "vanished"
	// StatusSuperseded: replaced on the server by another version before it was taken.
	StatusSuperseded Status = "superseded"
	// StatusRejected: its name or kind is unsafe; it is never opened.
	StatusRejected Status = "rejected"
)

// Statuses lists every status, the way through first.
var Statuses = []Status{
	StatusDiscovered, StatusReady, StatusDownloading, StatusDownloaded, StatusVerified,
	StatusUploading, StatusUploaded, StatusCompleted,
	StatusError, StatusSkipped, StatusVanished, StatusSuperseded, StatusRejected,
}

// transitions is the state machine. Steps backwards to downloading exist
// because staged bytes can be lost with their host or found damaged, those to
// ready because a file that cannot be fetched now gives its place to others, and
// the one from there to uploaded because its object may turn out to be there; the
// way from error leads to the step an operator names. A version that vanished or
// was superseded is taken up again when the server shows it again; one that was
// superseded again and again becomes an error.
var transitions = map[Status][]Status{
	StatusDiscovered:  {StatusReady, StatusError, StatusSkipped, StatusVanished, StatusSuperseded},
	StatusReady:       {StatusDownloading, StatusError, StatusSkipped, StatusVanished, StatusSuperseded},
	StatusDownloading: {StatusDownloaded, StatusUploaded, StatusReady, StatusError, StatusSkipped, StatusVanished, StatusSuperseded},
	StatusDownloaded:  {StatusVerified, StatusDownloading, StatusReady, StatusError, StatusSkipped},
	StatusVerified:    {StatusUploading, StatusDownloading, StatusReady, StatusError, StatusSkipped},
	StatusUploading:   {StatusUploaded, StatusDownloading, StatusReady, StatusError, StatusSkipped},
	StatusUploaded:    {StatusCompleted, StatusError, StatusSkipped},
	StatusError: {
		StatusReady, StatusDownloading, StatusDownloaded, StatusVerified, StatusUploading, StatusUploaded,
		StatusSkipped, StatusVanished, StatusSuperseded,
	},
	StatusVanished:   {StatusDiscovered},
	StatusSuperseded: {StatusDiscovered, StatusError},
	StatusCompleted:  {},
	StatusSkipped:    {},
	StatusRejected:   {},
}

// Transitions returns every allowed pair of different statuses, in the order
// of Statuses. The database holds the same table; a test compares the two. The one
// from completed to ready is an operator's alone, when the object is lost: no step of
// a file may make it, so CanBecome does not know it.
func Transitions() [][2]Status {
	var pairs [][2]Status
	for _, from := range Statuses {
		for _, to := range transitions[from] {
			pairs = append(pairs, [2]Status{from, to})
		}
		if from == StatusCompleted {
			pairs = append(pairs, [2]Status{from, StatusReady})
		}
	}
	return pairs
}

// CanBecome reports whether a file in status s may move to next. Staying in
// the same status is allowed: a retried step says again what it said before.
func (s Status) CanBecome(next Status) bool {
	return s == next || slices.Contains(transitions[s], next)
}

// InFlight reports whether a FileIngest works on files of the status.
func (s Status) InFlight() bool {
	switch s {
	case StatusReady, StatusDownloading, StatusDownloaded, StatusVerified, StatusUploading, StatusUploaded:
		return true
	default:
		return false
	}
}

// Terminal reports whether nothing more happens to a file by itself and no
// operator is awaited.
func (s Status) Terminal() bool {
	switch s {
	case StatusCompleted, StatusSkipped, StatusVanished, StatusSuperseded, StatusRejected:
		return true
	default:
		return false
	}
}

// RoundAttempts is how many tries to fetch a file make a round: when none of
// them brings a byte, its slot goes to another file. A line that was cut once is
// forgiven at once; what fails twice waits without a slot.
const RoundAttempts = 2

// InFlight lists the statuses of files that are being worked on.
var InFlight = []Status{StatusDownloading, StatusDownloaded, StatusVerified, StatusUploading, StatusUploaded}

// ParseStatus returns the status named by text, or an error that lists the
// valid names.
func ParseStatus(text string) (Status, error) {
	if s := Status(text); slices.Contains(Statuses, s) {
		return s, nil
	}
	return "", fmt.Errorf("unknown status %q: one of %v", text, Statuses)
}
