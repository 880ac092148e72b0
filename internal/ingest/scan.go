package ingest

import "time"

// Scan is one listing of one server.
type Scan struct {
	ID         int64
	ServerUUID string
	// ServerName is only set in lists of scans of several servers.
	ServerName string
	// ServerRemoved reports whether the server was removed.
	ServerRemoved bool
	StartedAt     time.Time
	// FinishedAt is zero while the scan runs.
	FinishedAt time.Time
	ScanCounts
	// Unread lists the folders that could not be read.
	Unread Unread
	ScanOrigin
	// Excluded summarizes the entries excluded by the patterns.
	Excluded Unmatched
	// Error is the reason why the listing failed, as one line; empty otherwise.
	Error string
	// Note is a one-line remark of a listing that is not a failure; empty for none.
	Note string
}

// ScanOrigin states who requested a listing.
type ScanOrigin struct {
	// Source is SourceSchedule or SourceManual; empty for listings of old releases.
	Source string
	// RequestedBy is the name of the principal who requested a manual scan.
	RequestedBy string
}

// The sources of scans.
const (
	SourceSchedule = "schedule"
	SourceManual   = "manual"
)

// ScanCounts are the counts of one listing.
type ScanCounts struct {
	// Seen counts recorded entries, New those without an earlier row.
	Seen int64
	New  int64
	// Same counts entries that are unchanged ingested versions.
	Same int64
	// Settling counts the server's files that have not settled.
	Settling int64
	// Rejected counts unsafe entries, Errors folders that could not be read.
	Rejected int64
	Errors   int64
	// InProgress counts names of files in progress, Alone companions without their
	// file. Seen includes neither.
	InProgress int64
	Alone      int64
}

// FileFilter selects files of a list. Zero fields select all.
type FileFilter struct {
	Server   string // name or uuid
	Statuses []Status
	// Path is a glob: '*' matches within a folder, '**' across folders. Without a
	// leading slash it also matches the end of a path.
	Path string
	// Search selects files whose path contains the text (ignoring case), whose uuid
	// begins with it (at least 4 hex digits), or whose content has this SHA-256. Paths
	// are not searched if the text is a known SHA-256 or, with at least 8 digits, begins
	// a known uuid.
	Search string
	// ErrorKinds and ErrorSteps select files by their last failure.
	ErrorKinds []Kind
	ErrorSteps []Step
	// From (inclusive) and To (exclusive) bound the time when the file was first seen.
	From, To time.Time
	// Hash is the digest of the content in lower-case hex.
	Hash string
	// Left selects completed files whose source is still on the server although it
	// should have been deleted or moved.
	Left bool
	// UUID is a prefix of the file's uuid, at least 4 hex digits.
	UUID string
	// UUIDs selects single files.
	UUIDs []string
	// Order is the order of the list; default OrderOldest.
	Order FileOrder
	// AfterID is the keyset cursor, the last ID of the previous page. 0 selects the
	// first page.
	AfterID int64
	// Limit is the page size; default 100, at most 1000.
	Limit int
}

// FileOrder is the order of a list of files.
type FileOrder string

// The orders, by the time when a file was first seen.
const (
	OrderOldest FileOrder = "oldest"
	OrderNewest FileOrder = "newest"
)

// Count is the number of files that a filter selects, up to a limit.
type Count struct {
	N int64
	// More reports that counting stopped early: there are at least N files.
	More bool
}

// DueQuery selects a page of servers to scan.
type DueQuery struct {
	// AfterUUID is the keyset cursor.
	AfterUUID string
	Limit     int
	// Servers restricts the page to these uuids or names; empty selects all.
	Servers []string
	// Force includes servers that are suspended or not due.
	Force bool
	// Tick is the interval of ScanAllServers, see Server.ScanGap; 0 if unknown.
	Tick time.Duration
}

// ScanResult is the result of a scan.
type ScanResult struct {
	// ScanID is the id of the scan's row. With 0, a new row is written with the key
	// Key and a start Took ago.
	ScanID     int64
	Key        string
	Took       time.Duration
	ServerUUID string
	Counts     ScanCounts
	Unread     Unread
	// Failure is nil when the listing succeeded. Suspend suspends the server, which
	// stops scheduled scans until an operator repairs it.
	Failure *Failure
	Suspend bool
	// EndsSuspension reports that the server was suspended when this forced listing began, so
	// that success ends the suspension. A suspension that began later is kept, because
	// a listing with an older login does not disprove it.
	EndsSuspension bool
	// Broken reports that stevedore aborted the listing, which leaves the server's
	// state unchanged.
	Broken bool
	// Entire reports that the attempts of the listing together read every folder, so
	// that files that it did not show do not exist.
	Entire bool
	// Note is the remark of the listing, see Scan.Note.
	Note string
	// Origin and Excluded are those of Scan.
	Origin   ScanOrigin
	Excluded Unmatched
}
