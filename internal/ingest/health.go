package ingest

import "strings"

// Health is the state of a server for operators, who see one word instead of its parts.
type Health string

// The states, the most urgent first.
const (
	// HealthPaused: an operator paused the server. It hides everything else.
	HealthPaused Health = "paused"
	// HealthUnpinned: no host key is pinned, so workers do not log in. A scan suspends such
	// a server; one that it cannot reach is HealthScanFailed.
	HealthUnpinned Health = "unpinned"
	// HealthSuspended: see ServerSuspended.
	HealthSuspended Health = "suspended"
	// HealthOverdue: see Server.Late.
	HealthOverdue Health = "scan_overdue"
	// HealthScanFailed: the last scan failed.
	HealthScanFailed Health = "scan_failed"
	// HealthUnread: the last complete scan could not read some folders.
	HealthUnread Health = "folders_unread"
	// HealthHeld: changed files wait for a decision.
	HealthHeld Health = "changes_held"
	// HealthResent: files reappeared after they were deleted or moved.
	HealthResent Health = "files_resent"
	// HealthLeft: ingested files could not be deleted or moved.
	HealthLeft Health = "sources_left"
	// HealthNotScanned: the server waits for its first scan.
	HealthNotScanned Health = "not_scanned"
	// HealthOK: the latest scan succeeded, and nothing needs an operator.
	HealthOK Health = "healthy"
)

// Healths lists the states, the most urgent first.
var Healths = []Health{
	HealthPaused, HealthUnpinned, HealthSuspended, HealthOverdue, HealthScanFailed, HealthUnread, HealthHeld, HealthResent, HealthLeft,
	HealthNotScanned, HealthOK,
}

// Health returns the most urgent state of the server.
func (s Server) Health() Health {
	switch {
	case !s.Active:
		return HealthPaused
	case len(s.HostKeys) == 0 && (s.State == ServerSuspended || s.LastError == ""):
		return HealthUnpinned
	case s.State == ServerSuspended:
		return HealthSuspended
	case s.Late:
		return HealthOverdue
	case s.LastError != "":
		return HealthScanFailed
	case s.Unread.Count > 0:
		return HealthUnread
	case s.Attention.Held.Files > 0:
		return HealthHeld
	case s.Attention.Resent > 0:
		return HealthResent
	case s.Left.Sources > 0:
		return HealthLeft
	case s.LastScanAt.IsZero():
		return HealthNotScanned
	}
	return HealthOK
}

// Label returns the state in words, as tables and the console show it.
func (h Health) Label() string { return strings.ReplaceAll(string(h), "_", " ") }

// HealthOf returns the state with the label.
func HealthOf(label string) Health { return Health(strings.ReplaceAll(label, " ", "_")) }

// NeedsOperator reports whether a server in the state waits for an operator.
func (h Health) NeedsOperator() bool {
	switch h {
	case HealthSuspended, HealthUnpinned, HealthOverdue, HealthScanFailed, HealthUnread, HealthHeld, HealthResent, HealthLeft:
		return true
	}
	return false
}
