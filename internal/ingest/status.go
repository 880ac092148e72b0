package ingest

import (
	"slices"
)

// Status is the state of one file version. The zero value is no status.
type Status string

// The states of a file. A file normally passes from StatusDiscovered through
// StatusUploaded to StatusCompleted.
const (
	// StatusDiscovered: seen on the server, waiting to settle.
	StatusDiscovered Status = "discovered"
	// StatusReady: settled, waiting for a slot.
	StatusReady Status = "ready"
	// StatusDownloading: bytes are being read from the server.
	StatusDownloading Status = "downloading"
	// StatusDownloaded: all bytes are in staging and synced to disk.
	StatusDownloaded Status = "downloaded"
	// StatusVerified: the staged bytes match the expected size and hash.
	StatusVerified Status = "verified"
	// StatusUploading: bytes are being written to the object store.
	StatusUploading Status = "uploading"
	// StatusUploaded: the object is complete and has the expected size and hash.
	StatusUploaded Status = "uploaded"
	// StatusCompleted: the broker has confirmed the notification.
	StatusCompleted Status = "completed"
	// StatusError: failed permanently; an operator must retry or skip it.
	StatusError Status = "error"
	// StatusSkipped: an operator decided not to ingest it.
	StatusSkipped Status = "skipped"
	// StatusVanished: removed from the server before it was ingested.
	StatusVanished Status = "vanished"
	// StatusSuperseded: replaced on the server by another version before it was ingested.
	StatusSuperseded Status = "superseded"
	// StatusRejected: its name or type is unsafe; it is never opened.
	StatusRejected Status = "rejected"
)

// Statuses lists all statuses, in the usual order of a file and then the others.
var Statuses = []Status{
	StatusDiscovered, StatusReady, StatusDownloading, StatusDownloaded, StatusVerified,
	StatusUploading, StatusUploaded, StatusCompleted,
	StatusError, StatusSkipped, StatusVanished, StatusSuperseded, StatusRejected,
}

// transitions is the state machine. The less obvious transitions:
//   - back to downloading: staged bytes were lost with their host or found damaged;
//   - back to ready: the file is deferred;
//   - downloading to uploaded: memory and direct mode, or the object exists already;
//   - from error: an operator names the step, or the file changes on the server;
//   - vanished or superseded to discovered: the server shows the version again;
//   - superseded to error: the file was found changed again and again;
//   - vanished to error: listings show the file, but it could never be found.
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
	StatusVanished:   {StatusDiscovered, StatusError},
	StatusSuperseded: {StatusDiscovered, StatusError},
	StatusCompleted:  {},
	StatusSkipped:    {},
	StatusRejected:   {},
}

// Transitions returns every allowed pair of different statuses, in the order of
// Statuses. The database has the same table; a test compares the two. It includes
// completed to ready, which only an operator action makes (reprocess), so
// CanBecome excludes it.
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

// CanBecome reports whether a step may change a file's status from s to next. The
// same status is allowed, because a retried step repeats its change.
func (s Status) CanBecome(next Status) bool {
	return s == next || slices.Contains(transitions[s], next)
}

// InFlight lists the statuses of files that have a FileIngest, or are waiting for one.
var InFlight = []Status{StatusReady, StatusDownloading, StatusDownloaded, StatusVerified, StatusUploading, StatusUploaded}

// InFlight reports whether files of the status have a FileIngest, or are waiting
// for one.
func (s Status) InFlight() bool { return slices.Contains(InFlight, s) }

// Terminal reports whether the file needs neither further steps nor an operator.
func (s Status) Terminal() bool {
	switch s {
	case StatusCompleted, StatusSkipped, StatusVanished, StatusSuperseded, StatusRejected:
		return true
	default:
		return false
	}
}

// RoundAttempts is the number of attempts to fetch a file without progress after
// which it is deferred and its slot released. One retry with the slot covers a
// broken connection.
const RoundAttempts = 2
