package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

const howToToken = "ask an admin for a token (`stevedore token create`) and set STEVEDORE_TOKEN to it"

// maxBody exceeds the largest response, a page of 1,000 files.
const maxBody = 64 << 20

// read decodes the body of a response; err is the error of the request.
func read[T any](response *http.Response, err error) (value T, _ error) {
	if err != nil {
		return value, err
	}
	if response.StatusCode == http.StatusNoContent {
		return value, nil
	}
	if err := json.NewDecoder(response.Body).Decode(&value); err != nil {
		return value, ingest.Wrap(ingest.KindInvalid, err,
			"the response of %s is not from stevedore's API: check STEVEDORE_API_URL and the versions of API and command line", response.Request.URL.Scheme+"://"+response.Request.URL.Host)
	}
	return value, nil
}

// unreachable describes a request without a response.
func (c caller) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	cause := err.Error()
	var sending *url.Error
	var lookup *net.DNSError
	var failed syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		cause = "no response in time"
	case errors.As(err, &lookup):
		cause = "the name " + lookup.Name + " cannot be resolved"
	case errors.As(err, &failed):
		cause = failed.Error()
	case errors.As(err, &sending): // omits the URL, which the message has already
		cause = sending.Err.Error()
	}
	return ingest.Wrap(ingest.KindTransient, err,
		"cannot reach the API at %s: %s; start it with `stevedore api` or set STEVEDORE_API_URL", c.url, ingest.Summary(cause))
}

// refusal returns the error that a response with an error status describes.
func (c caller) refusal(ctx context.Context, response *http.Response, body []byte) error {
	var problem openapi.Problem
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if mediaType == "application/problem+json" && json.Unmarshal(body, &problem) == nil && problem.Code != "" {
		if problem.Code == "unavailable" {
			problem.Detail = cmp.Or(c.noWorker(ctx), problem.Detail)
		}
		return c.problem(problem)
	}
	status := response.StatusCode
	switch {
	case status < 400:
		return ingest.Errorf(ingest.KindInvalid, "%s redirects to %s, where the token was not sent: set STEVEDORE_API_URL to the API's own address",
			c.url, ingest.Summary(response.Header.Get("Location")))
	case status >= 500 || status == http.StatusTooManyRequests:
		return ingest.Errorf(ingest.KindTransient, "%s returned %s, which is not a response of stevedore's API: check the proxy before it and try again", c.url, ingest.Summary(response.Status))
	}
	return ingest.Errorf(ingest.KindInvalid, "%s returned %s, which is not a response of stevedore's API: check STEVEDORE_API_URL", c.url, ingest.Summary(response.Status))
}

// noWorker returns the reason why no worker runs, or nothing. Without a worker Temporal
// times out, and the API can report only that.
func (c caller) noWorker(ctx context.Context) string {
	raw := &Client{Server: c.url + "/", Client: c}
	var down *ingest.Error
	if errors.As((&API{raw: raw}).CheckPart(ctx, "worker"), &down) {
		return down.Message
	}
	return ""
}

// problem maps a problem's code to an error with a kind. Codes are never renamed; a
// code of a later release is mapped by its status.
func (c caller) problem(p openapi.Problem) error {
	detail := ingest.DisplayPath(p.Detail)
	switch p.Code {
	case openapi.CodeInvalid:
		if p.Errors == nil || len(*p.Errors) == 0 {
			return ingest.Errorf(ingest.KindInvalid, "%s", detail)
		}
		invalid := &ingest.InvalidError{}
		for _, field := range *p.Errors {
			invalid.Fields = append(invalid.Fields, ingest.FieldError{Field: field.Field, Message: ingest.DisplayPath(field.Message)})
		}
		return ingest.Wrap(ingest.KindInvalid, invalid, "the API refused the request")
	case openapi.CodeNotFound:
		return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "%s", detail)
	case openapi.CodeUnauthorized:
		return ingest.Errorf(ingest.KindAuth, "%s does not accept the token in STEVEDORE_TOKEN: it is unknown, expired or revoked; %s", c.url, howToToken)
	case openapi.CodeForbidden:
		return ingest.Errorf(ingest.KindAuth, "%s; %s", detail, howToToken)
	case openapi.CodeConflict, openapi.CodeKeyReused:
		return ingest.Errorf(ingest.KindConflict, "%s", detail)
	case openapi.CodePrecondition:
		return ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "%s", detail)
	case openapi.CodeUnavailable, openapi.CodeNotReady, openapi.CodeRateLimited:
		return ingest.Errorf(ingest.KindTransient, "%s", detail)
	case openapi.CodeInternal:
		return errors.New(detail + requestID(p))
	}
	if p.Status >= 500 {
		return ingest.Errorf(ingest.KindTransient, "%s", detail)
	}
	return ingest.Errorf(ingest.KindInvalid, "%s", detail)
}

// requestID identifies the request in the API's log.
func requestID(p openapi.Problem) string {
	if p.RequestID == nil {
		return ""
	}
	return " (request " + ingest.DisplayPath(*p.RequestID) + ")"
}
