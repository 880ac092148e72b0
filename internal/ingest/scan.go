package ingest

import "time"

// Scan is one listing of one server.
type Scan struct {
	ID         int64
	ServerUUID string
	// ServerName is set in listings of several servers' scans.
	ServerName string
	StartedAt  time.Time
	// FinishedAt is zero while the scan runs.
	FinishedAt time.Time
	ScanCounts
	// Unread is what could not be read; Errors is its count.
	Unread Unread
	// Error is one line, empty when the listing reached its end.
	Error string
	// Note is what the listing noticed that is no failure, one line.
	Note string
}

// ScanCounts counts what one listing saw.
type ScanCounts struct {
	// Seen is all entries taken into account; New those without a row before.
	Seen int64
	New  int64
	// Same is how many of them show a version that was taken, as it was.
	Same int64
	// Settling is how many files of the server wait for the settle time.
	Settling int64
	// Rejected counts unsafe entries; Errors folders that could not be read.
	Rejected int64
	Errors   int64
	// InProgress counts names of files in progress, Alone done-markers and checksum
	// files without a file that they speak of. Neither is in Seen.
	InProgress int64
	Alone      int64
}

// FileFilter selects files in listings. Zero fields select all.
type FileFilter struct {
	Server   string // name or uuid
	Statuses []Status
	// Path is a glob, '*' within a folder and '**' across; without a leading
	// slash it may match the end of a path.
	Path string
	// From and To bound when the file was first seen; To is not included.
	From, To time.Time
	// Hash is the lower-case hex digest of the content.
	Hash string
	// Left selects completed files whose source should have been deleted or moved and
	// is still there.
	Left bool
	// UUID is how the file's uuid begins, at least 4 hex digits.
	UUID string
	// UUIDs names single files.
	UUIDs []string
	// Order is that of the listing; default OrderOldest.
	Order FileOrder
	// AfterID is the keyset cursor, the last ID before: files with a larger ID,
	// or, newest first, with a smaller one. 0 begins.
	AfterID int64
	// Limit is the page size; default 100, at most 1000.
	Limit int
}

// FileOrder is the order of a listing of files.
type FileOrder string

// The orders: by first sight, in which ids are given out.
const (
	OrderOldest FileOrder = "oldest"
	OrderNewest FileOrder = "newest"
)

// Count is how many files a filter selects, as far as they were counted.
type Count struct {
	N int64
	// More says that counting stopped before the end: there are at least N.
	More bool
}

// DueQuery selects servers to be scanned.
type DueQuery struct {
	// AfterUUID is the keyset cursor.
	AfterUUID string
	Limit     int
	// Servers, when not empty, restricts to these uuids or names.
	Servers []string
	// Force takes servers that are not due or are suspended, too.
	Force bool
	// Tick is the time between two scans of all servers, see Server.ScanGap; 0 when
	// it is not known.
	Tick time.Duration
}

// ScanResult closes a scan.
type ScanResult struct {
	// ScanID is the row that the listing opened. 0 stands for a listing that opened
	// none: its row is written with Key as its name, begun Took ago.
	ScanID     int64
	Key        string
	Took       time.Duration
	ServerUUID string
	Counts     ScanCounts
	Unread     Unread
	// Failure is nil when the listing reached its end. Suspend stops scheduled
	// scans of the server until a person has mended it.
	Failure *Failure
	Suspend bool
	// Mends says that the server was suspended when the listing began, which was
	// made by force: success ends the suspension. One that came meanwhile is about something that the
	// listing, logged in long ago, knows nothing of, and stays.
	Mends bool
	// Broken says that we broke the listing off ourselves: the server's state is
	// left as it is.
	Broken bool
	// Entire says that the listing, all of its attempts together, has read every folder:
	// what it did not show is not there.
	Entire bool
	// Note is what the listing noticed, see Scan.
	Note string
}
