package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"stevedore/api/console"
	"stevedore/api/openapi"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
)

const (
	// bodyLimit is far above the largest request: 1,000 server names.
	bodyLimit = "256K"
	// handlerTimeout bounds the work on a request; it is below the write timeout, so
	// that there is time left to say so.
	handlerTimeout = 27 * time.Second
	// streamPath is the only answer without an end.
	streamPath = "/api/v1/changes"
	// defaultStartTimeout is for people who wait for the answer.
	defaultStartTimeout = 5 * time.Second
)

// Deps is what the handler works with.
type Deps struct {
	Operations operations.Operations
	Access     access.Access
	// Token is the bootstrap admin's; it must not be empty.
	Token string
	// TokenName names the bootstrap admin in the audit log; default ingest.BootstrapToken.
	TokenName string
	Log       *slog.Logger
	// RequestsPerSecond bounds what one principal may ask for; default 100,
	// with three seconds' worth at once.
	RequestsPerSecond float64
	// StartTimeout bounds what stands between a request and its 202; default 5 s.
	StartTimeout time.Duration
	// TrustedProxies may say in X-Forwarded-For for whom they ask.
	TrustedProxies []netip.Prefix
	// Now is the clock of limits and of credentials in long answers; default
	// time.Now.
	Now func() time.Time
	// Stopping, may be nil, is closed when the service stops: streams end.
	Stopping <-chan struct{}
	// Version, TemporalUI and S3Console are for the console, see there.
	Version, TemporalUI, S3Console string
	// Metrics counts requests; default metrics of its own.
	Metrics *telemetry.API
}

// NewHandler returns the API and the console as an http.Handler. It panics when
// its metrics cannot be made, which is a fault of the program.
func NewHandler(d Deps) http.Handler {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.StartTimeout <= 0 {
		d.StartTimeout = defaultStartTimeout
	}
	if d.Metrics == nil {
		var err error
		if d.Metrics, err = telemetry.NewAPI(d.Version); err != nil {
			panic(err)
		}
	}
	programs, access := newPrograms(d)
	pages := console.New(console.Deps{
		Operations: d.Operations, Access: d.Access, Door: door{access}, Log: d.Log, Version: d.Version, TemporalUI: d.TemporalUI, S3Console: d.S3Console,
		Served: d.Metrics.Request,
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if forPrograms(r) || !readableQuery(r) {
			programs.ServeHTTP(w, r)
		} else {
			pages.ServeHTTP(w, r)
		}
	})
	return fromPeer(peerOf(d.TrustedProxies), stayOnTLS(withDeadline(handler, handlerTimeout)))
}

// testGrace is what a test's answer gets after its end.
const testGrace = 10 * time.Second

// errTestTime says why a test ends before the server's own time-outs.
var errTestTime = fmt.Errorf("a test by the API ends after %s; where the service runs, `stevedore server test --via local` has no such limit", operations.MaxTest)

// withDeadline gives each request an end, so that none holds a connection of the
// database or a partner's server for ever. Streams end by themselves; tests of
// servers have the time that slow servers take to log in.
func withDeadline(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == streamPath {
			next.ServeHTTP(w, r)
			return
		}
		limit, cause := timeout, error(nil)
		if console.TestsServer(r) {
			limit, cause = operations.MaxTest, errTestTime
			// A writer without deadlines has none that must be moved.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + testGrace))
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), limit, cause)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// stayOnTLS tells browsers that came by TLS to come by nothing else for a year.
func stayOnTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if console.Secure(r) {
			w.Header().Set(echo.HeaderStrictTransportSecurity, "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// newPrograms returns the API alone, and who guards it.
func newPrograms(d Deps) (*echo.Echo, guard) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	// Who that is for a proxy's request, fromPeer has found out.
	e.IPExtractor = echo.ExtractIPDirect()
	e.JSONSerializer = strictJSON{}
	e.HTTPErrorHandler = answerProblem(d.Log)
	registered := routes{EchoRouter: e, specified: map[string]string{}}
	specified := func(pattern string) string { return registered.specified[pattern] }
	access := guard{
		bootstrap: sha256.Sum256([]byte(d.Token)), bootstrapName: cmp.Or(d.TokenName, ingest.BootstrapToken), ops: d.Access,
		limits: newLimits(d.RequestsPerSecond, d.Now), lookups: newLookups(), specified: specified,
	}
	e.Pre(splitAction)
	e.Use(
		measureRequests(d.Metrics, specified),
		middleware.RequestIDWithConfig(middleware.RequestIDConfig{Generator: uuid.NewString, RequestIDHandler: freshRequestID}),
		logRequests(d.Log),
		catchPanics(d.Log),
		harden,
		refuseCrossOrigin(),
		refuseHiddenSlashes,
		refuseUnreadableQueries,
		middleware.BodyLimit(bodyLimit),
		access.check,
		requireJSON,
		newChecker(specified).check,
		repeats{answers: d.Operations, log: d.Log, digestKey: access.bootstrap[:]}.check,
	)
	openapi.RegisterHandlers(registered, openapi.NewStrictHandler(handlers{
		ops: d.Operations, access: d.Access, startTimeout: d.StartTimeout, stopping: d.Stopping, limits: access.limits, now: d.Now, metrics: d.Metrics,
		ready: &readiness{now: d.Now, log: d.Log},
	}, nil))
	return e, access
}

// forPrograms reports whether a request is the API's: by its path, by a token,
// which browsers do not send, or because nobody should answer but with a refusal.
// All others are the console's.
func forPrograms(r *http.Request) bool {
	switch path := r.URL.Path; path {
	case "/api", "/livez", "/readyz", "/metrics", "/openapi.yaml", "/docs", "/files/scan":
		return true
	default:
		return strings.HasPrefix(path, "/api/") || r.Header.Get(echo.HeaderAuthorization) != "" || hidesSlashes(r)
	}
}

// freshRequestID replaces an id that a caller sent: it goes into our log.
func freshRequestID(c echo.Context, id string) {
	if _, err := uuid.Parse(id); err != nil {
		c.Response().Header().Set(echo.HeaderXRequestID, uuid.NewString())
	}
}

// logRequests writes one line for each request, without headers and query:
// headers hold the token. Probes and scrapes are logged at debug level.
func logRequests(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			started := time.Now()
			if err := next(c); err != nil {
				c.Error(err) // so that the status below is what is sent
			}
			level := slog.LevelInfo
			if c.Path() == "/livez" || c.Path() == "/readyz" || c.Path() == "/metrics" {
				level = slog.LevelDebug
			}
			log.Log(c.Request().Context(), level, "request",
				"method", c.Request().Method, "path", shownPath(c), "principal", c.Get(principalName), "status", c.Response().Status,
				"duration", time.Since(started), "peer", c.RealIP(), "request_id", c.Response().Header().Get(echo.HeaderXRequestID))
			return nil
		}
	}
}

// shownPath is the path as it was asked for.
func shownPath(c echo.Context) string {
	return strings.Replace(c.Request().URL.Path, "/:", ":", 1)
}

// refuseHiddenSlashes refuses paths in which a slash or a dot segment is
// encoded: no name of ours holds one, and proxies before us may read such a
// path otherwise than we do.
func refuseHiddenSlashes(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if hidesSlashes(c.Request()) {
			return echo.NewHTTPError(http.StatusBadRequest, "the path holds an encoded slash, backslash or NUL: no name here does")
		}
		return next(c)
	}
}

func hidesSlashes(r *http.Request) bool {
	path := strings.ToLower(r.URL.EscapedPath())
	return strings.Contains(path, "%2f") || strings.Contains(path, "%5c") || strings.Contains(path, "%00")
}

// refuseUnreadableQueries refuses a query of which a part cannot be read, or that has
// more parameters than Go parses: what is dropped silently would be a filter that
// does not hold.
func refuseUnreadableQueries(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !readableQuery(c.Request()) {
			return echo.NewHTTPError(http.StatusBadRequest, "the query cannot be read: encode it, without ';', with at most 5,000 parameters")
		}
		return next(c)
	}
}

// maxParameters is far above what an operation has.
const maxParameters = 5000

func readableQuery(r *http.Request) bool {
	_, err := url.ParseQuery(r.URL.RawQuery)
	return err == nil && strings.Count(r.URL.RawQuery, "&") < maxParameters
}

// catchPanics turns a panic into an internal error and logs its stack.
func catchPanics(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				if p := recover(); p != nil {
					log.ErrorContext(c.Request().Context(), "panic in a handler", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return next(c)
		}
	}
}

// harden sets headers that keep a browser from making more of an answer than
// it is.
func harden(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		header.Set(echo.HeaderXContentTypeOptions, "nosniff")
		header.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		header.Set(echo.HeaderReferrerPolicy, "no-referrer")
		header.Set(echo.HeaderCacheControl, "no-store")
		return next(c)
	}
}

// refuseCrossOrigin refuses writes that a browser sends for another site.
func refuseCrossOrigin() echo.MiddlewareFunc {
	protection := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := protection.Check(c.Request()); err != nil {
				return echo.NewHTTPError(http.StatusForbidden, "a request from another web site is not taken")
			}
			return next(c)
		}
	}
}
