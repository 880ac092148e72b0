package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// The codes of problems. Programs compare them: they are never renamed.
const (
	codeInvalid      = "invalid_request"
	codeUnauthorized = "unauthorized"
	codeForbidden    = "forbidden"
	codeNotFound     = "not_found"
	codeMethod       = "method_not_allowed"
	codeConflict     = "conflict"
	codeTooLarge     = "too_large"
	codeMediaType    = "unsupported_media_type"
	codeRateLimited  = "rate_limited"
	codePrecondition = "precondition_failed"
	codeNoIfMatch    = "precondition_required"
	codeKeyReused    = "idempotency_key_reused"
	codeUnavailable  = "unavailable"
	codeNotReady     = "not_ready"
	codeInternal     = "internal"
)

const problemType = "application/problem+json"

// newProblem returns an RFC 9457 problem.
func newProblem(status int, code, detail string) openapi.Problem {
	return openapi.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// problemFor says what a caller is told about an error. Errors that nobody
// classified keep their text to themselves: it may name inner addresses.
func problemFor(err error) openapi.Problem {
	var (
		refused *echo.HTTPError
		known   *ingest.Error
		invalid *ingest.InvalidError
	)
	switch {
	case errors.As(err, &refused):
		return refusedProblem(refused)
	case errors.Is(err, ingest.ErrStale):
		return newProblem(http.StatusPreconditionFailed, codePrecondition, kindMessage(err))
	case errors.As(err, &known):
		problem := kindProblem(known, errors.Is(err, ingest.ErrNotFound))
		if errors.As(err, &invalid) {
			problem = fieldProblem(problem, invalid.Fields)
		}
		return problem
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, codeUnavailable, "a part of stevedore did not answer in time: GET /readyz says which; try again")
	default:
		return newProblem(http.StatusInternalServerError, codeInternal, "something went wrong inside stevedore: its log has the request id")
	}
}

// fieldProblem adds what is wrong with each field, and says it in one line.
func fieldProblem(problem openapi.Problem, fields []ingest.FieldError) openapi.Problem {
	list := []openapi.FieldError{}
	for _, field := range fields {
		list = append(list, openapi.FieldError{Field: field.Field, Message: field.Message})
	}
	problem.Errors = &list
	if len(fields) > 0 {
		problem.Detail = firstLine((&ingest.InvalidError{Fields: fields}).Error())
	}
	return problem
}

// kindMessage returns the message made for people.
func kindMessage(err error) string {
	var known *ingest.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}

// kindProblem needs to know what is missing: what the caller asked for is 404,
// a part of ours, such as a table, is 503.
func kindProblem(err *ingest.Error, notFound bool) openapi.Problem {
	status, code := http.StatusInternalServerError, codeInternal
	switch {
	case err.Kind == ingest.KindInvalid:
		status, code = http.StatusBadRequest, codeInvalid
	case err.Kind == ingest.KindMissing:
		status, code = http.StatusServiceUnavailable, codeUnavailable
		if notFound {
			status, code = http.StatusNotFound, codeNotFound
		}
	case err.Kind.Permanent(): // somebody must change something first
		status, code = http.StatusConflict, codeConflict
	case err.Kind != "":
		status, code = http.StatusServiceUnavailable, codeUnavailable
	}
	return newProblem(status, code, err.Message)
}

// refusedProblem translates what echo and the generated code refuse.
func refusedProblem(err *echo.HTTPError) openapi.Problem {
	detail := fmt.Sprint(err.Message)
	code := codeInvalid
	switch err.Code {
	case http.StatusUnauthorized:
		code = codeUnauthorized
	case http.StatusForbidden:
		code = codeForbidden
	case http.StatusNotFound:
		code, detail = codeNotFound, "there is nothing at this path: GET /openapi.yaml lists what is"
	case http.StatusMethodNotAllowed:
		code, detail = codeMethod, "this path does not take this method: see the Allow header and GET /openapi.yaml"
	case http.StatusRequestEntityTooLarge:
		code, detail = codeTooLarge, fmt.Sprintf("the body is too large: send at most %s", bodyLimit)
	case http.StatusUnsupportedMediaType:
		code = codeMediaType
	case http.StatusTooManyRequests:
		code = codeRateLimited
	case http.StatusConflict:
		code = codeConflict
	case http.StatusUnprocessableEntity:
		code = codeKeyReused
	case http.StatusPreconditionFailed:
		code = codePrecondition
	case http.StatusPreconditionRequired:
		code = codeNoIfMatch
	}
	if err.Code >= http.StatusInternalServerError {
		code, detail = codeInternal, "something went wrong inside stevedore: its log has the request id"
	}
	// The generated code quotes what it was given.
	return newProblem(err.Code, code, ingest.DisplayPath(firstLine(detail)))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// answerProblem is echo's HTTPErrorHandler.
func answerProblem(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		problem := problemFor(err)
		id := c.Response().Header().Get(echo.HeaderXRequestID)
		if id != "" {
			problem.RequestID = &id
		}
		ctx := c.Request().Context()
		if problem.Status >= http.StatusInternalServerError {
			log.ErrorContext(ctx, "request failed", "request_id", id, "error", err)
		}
		if err := writeProblem(c, problem.Status, problem); err != nil {
			log.WarnContext(ctx, "cannot send the answer", "request_id", id, "error", err)
		}
	}
}

// writeProblem takes what is to be sent as a problem document.
func writeProblem(c echo.Context, status int, problem any) error {
	body, err := json.Marshal(problem)
	if err != nil {
		return fmt.Errorf("encode problem: %w", err)
	}
	if c.Request().Method == http.MethodHead {
		c.Response().Header().Set(echo.HeaderContentType, problemType)
		return c.NoContent(status)
	}
	return c.Blob(status, problemType, body)
}
