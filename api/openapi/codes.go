package openapi

// The codes of problems. Programs compare them: they are never renamed.
const (
	CodeInvalid      = "invalid_request"
	CodeUnauthorized = "unauthorized"
	CodeForbidden    = "forbidden"
	CodeNotFound     = "not_found"
	CodeMethod       = "method_not_allowed"
	CodeConflict     = "conflict"
	CodeTooLarge     = "too_large"
	CodeMediaType    = "unsupported_media_type"
	CodeRateLimited  = "rate_limited"
	CodePrecondition = "precondition_failed"
	CodeNoIfMatch    = "precondition_required"
	CodeKeyReused    = "idempotency_key_reused"
	CodeUnavailable  = "unavailable"
	CodeNotReady     = "not_ready"
	CodeInternal     = "internal"
)
