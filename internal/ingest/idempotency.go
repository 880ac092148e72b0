package ingest

// AnswerKey is an idempotency key of an API request.
type AnswerKey struct {
	// Principal is the caller, by name and token id. Keys of different principals are
	// independent.
	Principal string
	Key       string
}

// Answer is the stored response to a request with an idempotency key.
type Answer struct {
	// RequestDigest detects another request with the same key.
	RequestDigest []byte
	// Status is the HTTP status; 0 while the request is in progress.
	Status  int
	Headers map[string]string
	Body    []byte
}
