package ingest

// History is a file with what happened to it, oldest first.
type History struct {
	File   File
	Events []StoredEvent
}

// HistoryQuery selects a page of files that an audit goes through.
type HistoryQuery struct {
	// Servers, when not empty, restricts to these uuids.
	Servers []string
	// AfterKey is the keyset cursor among files with an object key, AfterID the
	// one among those without.
	AfterKey string
	AfterID  int64
	// Events are the types that are returned with each completed file, without
	// details.
	Events []EventType
	// Limit is the page size; default 100, at most 1000.
	Limit int
}
