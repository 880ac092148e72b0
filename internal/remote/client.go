package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"stevedore/api/client"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

const (
	// requestTimeout is above the longest that the API takes for an answer, and
	// testTimeout for that of a test of a server.
	requestTimeout = 45 * time.Second
	testTimeout    = admin.MaxTest + 30*time.Second
	// stillAsked is how often an answer that another try is still working on is
	// asked for.
	stillAsked = 20
)

// Config says where the API is and who asks.
type Config struct {
	// URL is the API's, http:// or https://, without a path.
	URL string
	// Token is a bearer token; it must not be empty.
	Token string
	// Poll is how often WaitScan asks how a scan stands; default 1 s.
	Poll time.Duration
	// RetryAfter bounds the wait that the API asks for before a request is
	// repeated; default 2 s.
	RetryAfter time.Duration
}

// Client asks the API. It is safe for concurrent use.
type Client struct {
	api  *client.Client
	url  string
	poll time.Duration
}

// New returns a Client; nothing is connected before it is needed.
func New(cfg Config) (*Client, error) {
	if cfg.Token == "" {
		return nil, ingest.Errorf(ingest.KindInvalid, "STEVEDORE_TOKEN is not set: %s; or name the ledger in STEVEDORE_DATABASE_URL to work without the API", howToToken)
	}
	base := strings.TrimSuffix(cfg.URL, "/")
	if parsed, err := url.Parse(base); err != nil || parsed.Host == "" {
		return nil, ingest.Errorf(ingest.KindInvalid, "STEVEDORE_API_URL is not a URL: use http://host:port or https://host")
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	if cfg.RetryAfter <= 0 {
		cfg.RetryAfter = 2 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	caller := caller{token: cfg.Token, retryAfter: cfg.RetryAfter, http: &http.Client{
		Transport: transport, Timeout: requestTimeout,
		// A redirect would take the token, or a password in the body, somewhere
		// else: it is shown as an error instead.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	api, err := client.NewClient(base, client.WithHTTPClient(caller))
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "STEVEDORE_API_URL cannot be used: use http://host:port or https://host")
	}
	return &Client{api: api, url: base, poll: cfg.Poll}, nil
}

// Close is there for the sake of an interface: nothing is kept open.
func (c *Client) Close() {}

// caller sends requests with the token and repeats those that got lost.
type caller struct {
	http       *http.Client
	token      string
	retryAfter time.Duration
}

// Do implements client.HttpRequestDoer. What may be repeated, reading and what
// carries an Idempotency-Key, is sent once more when the connection failed.
func (c caller) Do(request *http.Request) (*http.Response, error) {
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("User-Agent", "stevedore-cli")
	// A token's secret is shown once and kept nowhere: that answer cannot be
	// given again.
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

// send gives a test of a server the time that it may take.
func (c caller) send(request *http.Request) (*http.Response, error) {
	if path := request.URL.Path; !strings.HasSuffix(path, ":test") && !strings.HasSuffix(path, ":approve-host-key") {
		return c.http.Do(request)
	}
	patient := *c.http
	patient.Timeout = testTimeout
	return patient.Do(request)
}

// again repeats a request. The first try may still be under way: the API then
// says so, and is asked until it has the answer.
func (c caller) again(request *http.Request) (*http.Response, error) {
	for range stillAsked {
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
		_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
		_ = response.Body.Close()
		if err := sleep(request.Context(), wait); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the first try of this request does not come to its end")
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
