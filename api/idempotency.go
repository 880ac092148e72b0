package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
)

// keepTimeout bounds storing a response after the client may have left.
const keepTimeout = 5 * time.Second

// replayedHeaders are the headers that are stored with a response.
var replayedHeaders = []string{echo.HeaderContentType, echo.HeaderLocation, "ETag"}

// The errors for keys that cannot be used.
var (
	errKeyReused = web.Refuse(http.StatusUnprocessableEntity, "this Idempotency-Key was used for another request: use a new one")
	errKeyInUse  = web.Refuse(http.StatusConflict, "the first request with this Idempotency-Key is still in progress: retry in a second")
)

// repeats returns the first response to a request that is sent again with the same
// Idempotency-Key. Server errors and rate limits are not stored, because a retry may succeed.
type repeats struct {
	requests operations.Requests
	log      *slog.Logger
	// digestKey keys digests of requests, whose bodies may hold passwords.
	digestKey []byte
}

func (r repeats) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		given := c.Request().Header.Get("Idempotency-Key")
		// The response to a new token contains the secret and must not be stored.
		if given == "" || c.Request().Method != http.MethodPost || c.Path() == "/api/v1/tokens" {
			return next(c)
		}
		digest, err := r.digest(c)
		if err != nil {
			return err
		}
		ctx := c.Request().Context()
		key := ingest.RequestKey{Principal: requestsOf(access.From(ctx)), Key: given}
		known, begun, err := r.requests.BeginRequest(ctx, key, digest)
		switch {
		case err != nil:
			return err
		case begun:
			c.SetRequest(c.Request().WithContext(orchestrator.WithRequestKey(ctx, key.Principal+"\x00"+key.Key)))
			return r.first(c, key, next)
		case !hmac.Equal(known.Digest, digest):
			return errKeyReused
		case known.Response == nil:
			c.Response().Header().Set("Retry-After", "1")
			return errKeyInUse
		}
		return replay(c, known.Response)
	}
}

// requestsOf returns the owner of stored requests. It contains the token's id: a new token
// with the name of a revoked one must not get the old responses.
func requestsOf(who ingest.Principal) string { return who.Name + "#" + who.TokenID }

// digest returns the digest of a request, so that its content is not stored.
func (r repeats) digest(c echo.Context) ([]byte, error) {
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, r.digestKey)
	mac.Write([]byte(c.Request().Method + " " + c.Request().URL.RequestURI() + "\n"))
	mac.Write(body)
	return mac.Sum(nil), nil
}

// first handles the request and stores the response.
func (r repeats) first(c echo.Context, key ingest.RequestKey, next echo.HandlerFunc) error {
	copied := &copyWriter{ResponseWriter: c.Response().Writer}
	c.Response().Writer = copied
	var response []byte
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), keepTimeout)
		defer cancel()
		if err := r.requests.EndRequest(ctx, key, response); err != nil {
			r.log.WarnContext(ctx, "cannot store a response", "error", err)
		}
	}()
	if err := next(c); err != nil {
		c.Error(err) // so that it is also copied
	}
	if status := c.Response().Status; status < http.StatusInternalServerError && status != http.StatusTooManyRequests {
		response = encode(status, c.Response().Header(), copied.body.Bytes())
	}
	return nil
}

// encode returns the response in the format of HTTP.
func encode(status int, header http.Header, body []byte) []byte {
	response := http.Response{
		ProtoMajor: 1, ProtoMinor: 1, StatusCode: status, Header: http.Header{},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	copyReplayed(response.Header, header)
	var encoded bytes.Buffer
	_ = response.Write(&encoded) // a buffer does not fail
	return encoded.Bytes()
}

// copyReplayed copies the headers that are stored with a response.
func copyReplayed(to, from http.Header) {
	for _, name := range replayedHeaders {
		if value := from.Get(name); value != "" {
			to.Set(name, value)
		}
	}
}

func replay(c echo.Context, encoded []byte) error {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(encoded)), nil)
	if err != nil {
		return fmt.Errorf("read a stored response: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // in memory
	copyReplayed(c.Response().Header(), response.Header)
	c.Response().Header().Set("Idempotency-Replayed", "true")
	c.Response().WriteHeader(response.StatusCode)
	_, err = io.Copy(c.Response(), response.Body)
	return err
}

// copyWriter keeps a copy of the written body.
type copyWriter struct {
	http.ResponseWriter
	body bytes.Buffer
}

// Write implements io.Writer.
func (w *copyWriter) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

// Unwrap implements the interface of http.ResponseController.
func (w *copyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
