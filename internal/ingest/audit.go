package ingest

// History is a file with its events, oldest first.
type History struct {
	File   File
	Events []StoredEvent
}

// HistoryQuery selects a page of files for an audit.
type HistoryQuery struct {
	// Servers restricts the page to these server uuids; empty selects all.
	Servers []string
	// AfterKey is the keyset cursor for files with an object key, AfterID the cursor
	// for files without one.
	AfterKey string
	AfterID  int64
	// Events are the event types to return with each completed file; their details are
	// left out.
	Events []EventType
	// Limit is the page size; default 100, at most 1000.
	Limit int
}
