package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/ingest"
)

// statusCodes are the codes of problems by their status.
var statusCodes = map[int]string{
	http.StatusBadRequest: openapi.CodeInvalid, http.StatusUnauthorized: openapi.CodeUnauthorized, http.StatusForbidden: openapi.CodeForbidden,
	http.StatusNotFound: openapi.CodeNotFound, http.StatusMethodNotAllowed: openapi.CodeMethod, http.StatusConflict: openapi.CodeConflict,
	http.StatusPreconditionFailed: openapi.CodePrecondition, http.StatusRequestEntityTooLarge: openapi.CodeTooLarge,
	http.StatusUnsupportedMediaType: openapi.CodeMediaType, http.StatusUnprocessableEntity: openapi.CodeKeyReused,
	http.StatusPreconditionRequired: openapi.CodeNoIfMatch, http.StatusTooManyRequests: openapi.CodeRateLimited,
	http.StatusServiceUnavailable: openapi.CodeUnavailable,
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
	code := cmp.Or(statusCodes[status], openapi.CodeInvalid)
	if status == http.StatusInternalServerError {
		code = openapi.CodeInternal
	}
	problem := openapi.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
	if errors.As(err, &invalid) {
		fields := openapi.List(invalid.Fields, func(f ingest.FieldError) openapi.FieldError { return openapi.FieldError(f) })
		problem.Errors, problem.Detail = &fields, firstLine(invalid.Error())
	}
	return problem
}

// invalidParameter matches the generated code's message about a parameter of a path.
var invalidParameter = regexp.MustCompile(`^Invalid format for parameter (\w+):`)

// fromEcho converts errors of the router and of the generated code to *web.Error, or to the
// error about a field.
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
	// The generated code parses parameters of paths before the request is validated, and days
	// such as February 30 afterwards.
	if parameter := invalidParameter.FindStringSubmatch(detail); parameter != nil {
		wanted := useTime
		if strings.HasSuffix(parameter[1], "uuid") {
			wanted = useUUID
		}
		return invalid(parameter[1], parameter[1]+": "+wanted)
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
