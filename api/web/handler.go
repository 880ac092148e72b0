package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxBody is the largest accepted body in bytes, far above the largest request: 1,000
// server names, or a form with a private key.
const MaxBody = 256 << 10

// Config configures a Handler.
type Config struct {
	Log *slog.Logger
	// TrustedProxies may name the client in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// Observe, may be nil, is called after each request that is no stream. The route is
	// empty for a path without one.
	Observe func(method, route string, status int, took time.Duration)
}

// Site is the API or the console.
type Site struct {
	http.Handler
	// Fail writes the response to an error.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
	// Headers are set on each response; handlers may replace them.
	Headers map[string]string
	// Timeout returns the time limit of a request and, may be nil, the cause of its end; 0
	// means none.
	Timeout func(r *http.Request) (time.Duration, error)
}

// Info describes a request for the access log and the metrics; handlers fill it in.
type Info struct {
	// ID is the request id, also in the header X-Request-Id.
	ID string
	// Route is the pattern of the route; empty for a path without one.
	Route string
	// Principal is the name of the caller; empty when unknown.
	Principal string
}

type infoKey struct{}

// InfoOf returns the request's Info, never nil. A handler may change it until it returns.
func InfoOf(ctx context.Context) *Info {
	if info, ok := ctx.Value(infoKey{}).(*Info); ok {
		return info
	}
	return &Info{}
}

// Handler returns the sites behind one chain: client address, request id, access log,
// metrics, panic recovery, headers, cross-origin protection, body limit and time limit.
func Handler(cfg Config, site func(*http.Request) Site) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site, path, started := site(r), r.URL.Path, time.Now() // handlers may rewrite the path
		info := &Info{ID: requestID(r)}
		r = withPeer(r, cfg.TrustedProxies)
		r = r.WithContext(context.WithValue(r.Context(), infoKey{}, info))
		response := &recorder{ResponseWriter: w}
		setHeaders(w.Header(), r, site, info.ID)
		defer func() {
			p := recover()
			cause, _ := p.(error)
			aborted := errors.Is(cause, http.ErrAbortHandler)
			if p != nil && !aborted {
				cfg.Log.ErrorContext(r.Context(), "panic in a handler", "request_id", info.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if response.status == 0 {
					site.Fail(response, r, fmt.Errorf("%w: %v", ErrPanic, p))
				}
			}
			cfg.finish(r, path, info, response, time.Since(started))
			if aborted {
				panic(p) // the server breaks the connection
			}
		}()
		serve(site, response, r)
	})
}

// crossOrigin refuses writes that a browser sends for another site.
var crossOrigin = http.NewCrossOriginProtection()

// serve calls the site with the limits of the request.
func serve(site Site, w http.ResponseWriter, r *http.Request) {
	switch {
	case crossOrigin.Check(r) != nil:
		site.Fail(w, r, ErrCrossOrigin)
		return
	case r.ContentLength > MaxBody:
		site.Fail(w, r, &http.MaxBytesError{Limit: MaxBody})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	limit, cause := site.Timeout(r)
	if limit == 0 {
		site.ServeHTTP(w, r)
		return
	}
	if limit > longRequest {
		// A writer without deadlines has none to extend.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + responseTime))
	}
	// Without a limit a request could hold a connection to the database or to a partner's
	// server forever.
	ctx, cancel := context.WithTimeoutCause(r.Context(), limit, cause)
	defer cancel()
	site.ServeHTTP(w, r.WithContext(ctx))
}

const (
	// longRequest is the limit above which a request needs more than the server's write
	// timeout.
	longRequest = 30 * time.Second
	// responseTime is the time to write the response of a long request.
	responseTime = 10 * time.Second
)

// requestID returns the caller's request id if it is a UUID, otherwise a new one: it is
// written to the log.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); uuid.Validate(id) == nil {
		return id
	}
	return uuid.NewString()
}

func setHeaders(header http.Header, r *http.Request, site Site, id string) {
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	for name, value := range site.Headers {
		header.Set(name, value)
	}
	if Secure(r) { // browsers that use TLS use nothing else for a year
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// finish writes the access log, without headers and query because they may hold secrets,
// and calls Observe. Probes, scrapes and static files are logged at debug level.
func (c Config) finish(r *http.Request, path string, info *Info, w *recorder, took time.Duration) {
	level := slog.LevelInfo
	if path == "/livez" || path == "/readyz" || path == "/metrics" || strings.HasPrefix(path, "/static/") {
		level = slog.LevelDebug
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	c.Log.Log(r.Context(), level, "request", "method", r.Method, "path", path, "principal", info.Principal, "status", w.status,
		"duration", took, "peer", Address(r), "request_id", info.ID)
	stream := strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") // lasts as long as its reader
	if c.Observe != nil && !stream {
		c.Observe(r.Method, info.Route, w.status, took)
	}
}

// recorder records the status of the response; 0 until it is written.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap implements the interface of http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
