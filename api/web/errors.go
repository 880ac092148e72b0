package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// ProblemType is the media type of an RFC 9457 problem.
const ProblemType = "application/problem+json"

// Error refuses a request with a status.
type Error struct {
	Status int
	// Detail is one line for the caller.
	Detail string
}

// Error returns the detail.
func (e *Error) Error() string { return e.Detail }

// Refuse returns an *Error.
func Refuse(status int, detail string) error { return &Error{Status: status, Detail: detail} }

var (
	// ErrPanic is in the chain of the error for a handler that panicked.
	ErrPanic = errors.New("panic")
	// ErrCrossOrigin refuses a request that a browser sends for another site.
	ErrCrossOrigin = Refuse(http.StatusForbidden, "requests from other web sites are refused")
)

// Status returns the HTTP status of an error. An unclassified error is 500: its text may
// contain internal addresses and must not be shown.
func Status(err error) int {
	var (
		refused *Error
		large   *http.MaxBytesError
		tooMany *access.TooManyError
		known   *ingest.Error
	)
	switch {
	case errors.As(err, &refused):
		return refused.Status
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &tooMany):
		return http.StatusTooManyRequests
	case errors.Is(err, access.ErrRefused):
		return http.StatusUnauthorized
	case errors.Is(err, ingest.ErrStale):
		return http.StatusPreconditionFailed
	case errors.As(err, &known):
		return kindStatus(known.Kind, errors.Is(err, ingest.ErrNotFound))
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// kindStatus returns 404 for a missing thing that the caller named, and 503 for a missing
// part of the installation, such as a table.
func kindStatus(kind ingest.Kind, notFound bool) int {
	switch {
	case kind == "":
		return http.StatusInternalServerError
	case kind == ingest.KindInvalid:
		return http.StatusBadRequest
	case kind == ingest.KindMissing && notFound:
		return http.StatusNotFound
	case kind == ingest.KindMissing:
		return http.StatusServiceUnavailable
	case kind.Permanent(): // a person must change something first
		return http.StatusConflict
	default:
		return http.StatusServiceUnavailable
	}
}

// SetHeaders sets the headers that belong to the error's status.
func SetHeaders(header http.Header, err error) {
	var tooMany *access.TooManyError
	switch {
	case errors.As(err, &tooMany):
		header.Set("Retry-After", strconv.Itoa(tooMany.Seconds()))
	case Status(err) == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="stevedore"`)
	}
}
