package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

const howToToken = "ask an admin for a token, which `stevedore token create` makes, and set STEVEDORE_TOKEN to it"

// maxAnswer exceeds the largest response, a page of 1,000 files.
const maxAnswer = 64 << 20

// reply decodes responses with a body of type T.
type reply[T any] struct{ c *API }

// of decodes a response, or returns the error that it describes.
func (r reply[T]) of(response *http.Response, err error) (T, error) {
	value, _, err := r.withHeader(response, err)
	return value, err
}

func (r reply[T]) withHeader(response *http.Response, err error) (value T, header http.Header, _ error) {
	if err != nil {
		return value, nil, r.c.unanswered(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return value, nil, r.c.unanswered(err)
	case response.StatusCode == http.StatusNoContent:
		return value, response.Header, nil
	case response.StatusCode >= 300:
		return value, nil, r.c.refused(response, body)
	}
	if err := json.Unmarshal(body, &value); err != nil {
		return value, nil, r.c.unreadable(err)
	}
	return value, response.Header, nil
}

func (c *API) unreadable(err error) error {
	return ingest.Wrap(ingest.KindInvalid, err, "the answer of %s cannot be read: check that STEVEDORE_API_URL names stevedore's API, of this version", c.url)
}

// unanswered describes a request without a response.
func (c *API) unanswered(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	cause := err.Error()
	var sending *url.Error
	if errors.As(err, &sending) { // omits the URL, which the message has already
		cause = sending.Err.Error()
	}
	return ingest.Wrap(ingest.KindTransient, err,
		"cannot reach the API at %s: %s; start it with `stevedore api` or set STEVEDORE_API_URL", c.url, ingest.Summary(cause))
}

// refused returns the error that a response with an error status describes.
func (c *API) refused(response *http.Response, body []byte) error {
	var problem openapi.Problem
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if mediaType == "application/problem+json" && json.Unmarshal(body, &problem) == nil && problem.Code != "" {
		return c.problem(problem)
	}
	status := response.StatusCode
	switch {
	case status >= 300 && status < 400:
		return ingest.Errorf(ingest.KindInvalid, "%s answered with a redirect to %s, where the token was not sent: set STEVEDORE_API_URL to the API's own address",
			c.url, ingest.Summary(response.Header.Get("Location")))
	case status >= 500 || status == http.StatusTooManyRequests:
		return ingest.Errorf(ingest.KindTransient, "%s answered %s, and not as stevedore's API does: something before it may be in trouble; try again", c.url, ingest.Summary(response.Status))
	}
	return ingest.Errorf(ingest.KindInvalid, "%s answered %s, and not as stevedore's API does: check STEVEDORE_API_URL", c.url, ingest.Summary(response.Status))
}

// problem maps a problem's code to an error with a kind. Codes are never renamed; a
// code of a later release is mapped by its status.
func (c *API) problem(p openapi.Problem) error {
	detail := ingest.DisplayPath(p.Detail)
	switch p.Code {
	case "invalid_request":
		if p.Errors == nil || len(*p.Errors) == 0 {
			return ingest.Errorf(ingest.KindInvalid, "%s", detail)
		}
		invalid := &ingest.InvalidError{}
		for _, field := range *p.Errors {
			invalid.Fields = append(invalid.Fields, ingest.FieldError{Field: field.Field, Message: ingest.DisplayPath(field.Message)})
		}
		return ingest.Wrap(ingest.KindInvalid, invalid, "the API refused the request")
	case "not_found":
		return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "%s", detail)
	case "unauthorized":
		return ingest.Errorf(ingest.KindAuth, "%s does not take the token in STEVEDORE_TOKEN: it is unknown, expired or revoked; %s", c.url, howToToken)
	case "forbidden":
		return ingest.Errorf(ingest.KindAuth, "%s; %s", detail, howToToken)
	case "conflict", "idempotency_key_reused":
		return ingest.Errorf(ingest.KindConflict, "%s", detail)
	case "precondition_failed":
		return ingest.Wrap(ingest.KindConflict, ingest.ErrStale, "%s", detail)
	case "unavailable", "not_ready", "rate_limited":
		return ingest.Errorf(ingest.KindTransient, "%s", detail)
	case "internal":
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
