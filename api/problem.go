package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"stevedore/api/openapi"
	"stevedore/api/web"
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
	codeNotReady     = web.CodeNotReady
	codeInternal     = "internal"
)

// statusCodes are the codes of problems by their status.
var statusCodes = map[int]string{
	http.StatusBadRequest: codeInvalid, http.StatusUnauthorized: codeUnauthorized, http.StatusForbidden: codeForbidden,
	http.StatusNotFound: codeNotFound, http.StatusMethodNotAllowed: codeMethod, http.StatusConflict: codeConflict,
	http.StatusPreconditionFailed: codePrecondition, http.StatusRequestEntityTooLarge: codeTooLarge,
	http.StatusUnsupportedMediaType: codeMediaType, http.StatusUnprocessableEntity: codeKeyReused,
	http.StatusPreconditionRequired: codeNoIfMatch, http.StatusTooManyRequests: codeRateLimited,
	http.StatusServiceUnavailable: codeUnavailable,
}

// problemFor returns the RFC 9457 problem for an error, with the problems of each field. The text of unclassified errors is not in
// it: it may contain internal addresses.
func problemFor(err error) openapi.Problem {
	var (
		refused *web.Error
		large   *http.MaxBytesError
		known   *ingest.Error
		invalid *ingest.InvalidError
		detail  string
	)
	status := web.Status(err)
	switch {
	case errors.As(err, &refused):
		detail = refused.Detail
	case errors.As(err, &large):
		detail = fmt.Sprintf("the body is too large: send at most %dK", large.Limit>>10)
	case errors.As(err, &known):
		detail = known.Message
	case status == http.StatusServiceUnavailable:
		detail = "a dependency did not respond in time: see GET /readyz, then try again"
	case status < http.StatusInternalServerError: // from the guard
		detail = err.Error()
	default:
		detail = "internal error: search the log of stevedore for the request id"
	}
	code := cmp.Or(statusCodes[status], codeInvalid)
	if status == http.StatusInternalServerError {
		code = codeInternal
	}
	problem := openapi.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
	if errors.As(err, &invalid) {
		fields := openapi.List(invalid.Fields, func(f ingest.FieldError) openapi.FieldError { return openapi.FieldError(f) })
		problem.Errors, problem.Detail = &fields, firstLine(invalid.Error())
	}
	return problem
}

// fromEcho converts errors of the router and of the generated code to *web.Error.
func fromEcho(err error) error {
	var (
		refused *web.Error
		large   *http.MaxBytesError
		router  *echo.HTTPError
	)
	if errors.As(err, &refused) || errors.As(err, &large) || !errors.As(err, &router) || router.Code >= http.StatusInternalServerError {
		return err
	}
	detail := fmt.Sprint(router.Message)
	switch router.Code {
	case http.StatusNotFound:
		detail = "no such path: GET /openapi.yaml lists all paths"
	case http.StatusMethodNotAllowed:
		detail = "this path does not support this method: see the Allow header and GET /openapi.yaml"
	}
	// The generated code quotes its input.
	return web.Refuse(router.Code, ingest.DisplayPath(firstLine(detail)))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// writeProblem writes the problem for an error.
func writeProblem(log *slog.Logger, w http.ResponseWriter, r *http.Request, err error) {
	problem := problemFor(err)
	id := web.InfoOf(r.Context()).ID
	if id != "" {
		problem.RequestID = &id
	}
	if problem.Status >= http.StatusInternalServerError {
		log.ErrorContext(r.Context(), "request failed", "request_id", id, "error", err)
	}
	web.SetHeaders(w.Header(), err)
	w.Header().Set("Content-Type", web.ProblemType)
	w.WriteHeader(problem.Status)
	if r.Method == http.MethodHead {
		return
	}
	body, err := json.Marshal(problem)
	if err == nil {
		_, err = w.Write(body)
	}
	if err != nil {
		log.WarnContext(r.Context(), "cannot send the response", "request_id", id, "error", err)
	}
}
