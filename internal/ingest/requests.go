package ingest

// AnswerKey names a request that may be sent again.
type AnswerKey struct {
	// Principal is who sent it, by name and token: keys of others are other keys.
	Principal string
	Key       string
}

// Answer is what a request was answered.
type Answer struct {
	// RequestDigest tells whether the same was asked for.
	RequestDigest []byte
	// Status is the HTTP status; 0 while the request is under way.
	Status  int
	Headers map[string]string
	Body    []byte
}

// LedgerEvent is an event with the file that it is about.
type LedgerEvent struct {
	StoredEvent
	FileUUID   string
	ServerName string
	// Status is the file's now.
	Status Status
}
