package ingest

// RequestKey identifies a request that may be repeated.
type RequestKey struct {
	// Principal is the caller, by name and token id. Keys of different principals are
	// independent.
	Principal string
	// Key is chosen by the caller.
	Key string
}

// FirstRequest is the first request with a RequestKey.
type FirstRequest struct {
	// Digest detects another request with the same key.
	Digest []byte
	// Response is nil while the request is in progress.
	Response []byte
}
