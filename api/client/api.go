package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"stevedore/internal/ingest"
)

const (
	// requestTimeout exceeds the time limit of every handler of the API.
	requestTimeout = 45 * time.Second
	// testTimeout is the requestTimeout of server tests, whose login may be slow.
	testTimeout = 5*time.Minute + 30*time.Second
	// maxRepeats bounds how often a request is repeated while its first attempt runs.
	maxRepeats = 20
	// pageSize is the page size of listings, the largest that the API allows.
	pageSize = 1000
)

// Config locates the API and authenticates the caller.
type Config struct {
	// URL is the API's address, http:// or https://, without a path.
	URL string
	// Token is a bearer token; it must not be empty.
	Token string
	// Poll is the interval at which running scans and audits are polled; default 1 s.
	Poll time.Duration
	// RetryAfter bounds the delay before a request is repeated when the API asks for
	// one; default 2 s.
	RetryAfter time.Duration
}

// API calls the REST API. It is safe for concurrent use.
type API struct {
	raw  *Client
	poll time.Duration
}

// New returns an API. It opens no connection. A missing token or a malformed URL is
// an error of KindInvalid.
func New(cfg Config) (*API, error) {
	if cfg.Token == "" {
		return nil, ingest.Errorf(ingest.KindInvalid, "STEVEDORE_TOKEN is not set: %s", howToToken)
	}
	base := strings.TrimSuffix(cfg.URL, "/")
	switch parsed, err := url.Parse(base); {
	case err != nil || parsed.Host == "":
		return nil, ingest.Errorf(ingest.KindInvalid, "STEVEDORE_API_URL is not a URL: use http://host:port or https://host")
	case parsed.User != nil: // messages quote the URL
		return nil, ingest.Errorf(ingest.KindInvalid, "STEVEDORE_API_URL has a user or password, which the API ignores: remove them, STEVEDORE_TOKEN is enough")
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	if cfg.RetryAfter <= 0 {
		cfg.RetryAfter = 2 * time.Second
	}
	caller := caller{url: base, token: cfg.Token, retryAfter: cfg.RetryAfter, http: &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: requestTimeout,
		// Following a redirect would send the token, or a password in the body, to
		// another address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	raw, err := NewClient(base, WithHTTPClient(caller))
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "STEVEDORE_API_URL cannot be used: use http://host:port or https://host")
	}
	return &API{raw: raw, poll: cfg.Poll}, nil
}

// caller adds the token to requests, repeats those whose connection failed, and turns
// failures into errors with kinds.
type caller struct {
	http       *http.Client
	url, token string
	retryAfter time.Duration
}

// Do implements HttpRequestDoer. It reads the whole body; a response with an error
// status is an error.
func (c caller) Do(request *http.Request) (*http.Response, error) {
	response, err := c.call(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	_ = response.Body.Close()
	// The body of a failed readiness check lists the parts.
	notReady := response.StatusCode == http.StatusServiceUnavailable && request.URL.Path == "/readyz"
	switch {
	case err != nil:
		return nil, c.unreachable(err)
	case response.StatusCode >= 300 && !notReady:
		return nil, c.refusal(request.Context(), response, body)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// call repeats requests without effect and requests with an Idempotency-Key once when
// the connection failed.
func (c caller) call(request *http.Request) (*http.Response, error) {
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("User-Agent", "stevedore-cli")
	// The response with a token's secret is not stored and cannot be repeated.
	repeatable := request.Method == http.MethodGet
	if request.Method == http.MethodPost && request.URL.Path != "/api/v1/tokens" {
		request.Header.Set("Idempotency-Key", uuid.NewString())
		repeatable = true
	}
	response, err := c.send(request)
	if err == nil || !repeatable || request.Context().Err() != nil {
		return response, err
	}
	return c.again(request)
}

// send sends a request with the time limit of its operation.
func (c caller) send(request *http.Request) (*http.Response, error) {
	if path := request.URL.Path; !strings.HasSuffix(path, ":test") && !strings.HasSuffix(path, ":test-edit") && !strings.HasSuffix(path, ":approve-host-key") {
		return c.http.Do(request)
	}
	patient := *c.http
	patient.Timeout = testTimeout
	return patient.Do(request)
}

// again repeats a request. While the first attempt still runs, the API responds with a
// conflict and Retry-After.
func (c caller) again(request *http.Request) (*http.Response, error) {
	for range maxRepeats {
		repeated := request.Clone(request.Context())
		if request.GetBody != nil {
			body, err := request.GetBody()
			if err != nil {
				return nil, err
			}
			repeated.Body = body
		}
		response, err := c.send(repeated)
		if err != nil || response.StatusCode != http.StatusConflict || response.Header.Get("Retry-After") == "" {
			return response, err
		}
		wait := c.retryAfter
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
			wait = min(wait, time.Duration(seconds)*time.Second)
		}
		_, _ = io.Copy(io.Discard, response.Body) // to reuse the connection
		_ = response.Body.Close()
		if err := sleep(request.Context(), wait); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the first attempt of this request does not end")
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
